/** `sshdesk serve`: its flags are sshd's and stand in `cli/serve/flags.ts`. Runs in: monitor. */
import type { CommandModule } from 'yargs';
import { asksForHelp, serveHelp } from '../serve/flags.ts';
import { serve as run } from '../serve/serve.ts';

export const serve: CommandModule = {
  command: 'serve',
  describe: 'run the server; takes the flags of sshd',
  // sshd's flags are getopt's: -p2222, -De. yargs reads them otherwise, so it does not read them.
  builder: (yargs) => yargs.help(false).version(false).strict(false),
  handler: async () => {
    const args = process.argv.slice(3);
    if (asksForHelp(args)) {
      process.stdout.write(serveHelp());
      return;
    }
    // Nothing that is still open may keep a daemon that has ended.
    process.exit(await run(args));
  },
};
