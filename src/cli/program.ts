/** The commands of `sshdesk`, of which one is loaded and run. Runs in: monitor (serve), user. */
import yargs from 'yargs';
import { commands } from './commands/index.ts';
import { joinOptionalPaths } from './optional-path.ts';

const usageFailed = 2;
/** A fault of ours: no number that a command means something by. */
const broke = 255;

class UsageFailure extends Error {}

export async function main(args: readonly string[]): Promise<void> {
  const [name] = args;
  const wanted = commands.find((row) => row.name === name);
  const words = (await wanted?.arrange?.(args)) ?? joinOptionalPaths(args);
  const parser = yargs([...words])
    .parserConfiguration({ 'populate--': wanted?.arrange !== undefined })
    .scriptName('sshdesk')
    .usage('$0 COMMAND')
    .demandCommand(1, 'Which command?')
    .strict()
    .exitProcess(false)
    .fail((message: string | null, error: Error | undefined) => {
      // A command's own failure is no usage error. Thrown, because after a return yargs goes on.
      throw error ?? new UsageFailure(message ?? 'Which command?');
    });
  // All are loaded for the overview only.
  for (const row of wanted === undefined ? commands : [wanted]) {
    parser.command(await row.load());
  }
  try {
    await parser.parseAsync();
  } catch (error) {
    if (!(error instanceof UsageFailure) && (error as Error).name !== 'YError') {
      process.stderr.write(`sshdesk: internal error: ${(error as Error).stack ?? String(error)}\n`);
      process.exitCode = broke;
      return;
    }
    process.stderr.write(`sshdesk: ${(error as Error).message}\nTry: sshdesk --help\n`);
    process.exitCode = usageFailed;
  }
}
