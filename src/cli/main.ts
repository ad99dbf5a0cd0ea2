/** `sshdesk COMMAND`. Runs in: monitor (serve), user. */
import yargs from 'yargs';
import { commands } from './commands/index.ts';

const usageFailed = 2;

async function main(args: readonly string[]): Promise<void> {
  const [name] = args;
  const wanted = commands.find((row) => row.name === name);
  const parser = yargs([...args])
    .scriptName('sshdesk')
    .usage('$0 COMMAND')
    .demandCommand(1, 'Which command?')
    .strict()
    .exitProcess(false)
    .fail((message, error) => {
      process.stderr.write(`sshdesk: ${message ?? error.message}\nTry: sshdesk --help\n`);
      process.exitCode = usageFailed;
    });
  // All are loaded for the overview only.
  for (const row of wanted === undefined ? commands : [wanted]) {
    parser.command(await row.load());
  }
  await parser.parseAsync();
}

await main(process.argv.slice(2));
