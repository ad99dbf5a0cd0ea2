/** `sshdesk profile remove NAME`: the profile, and its entry of the menu. Runs in: user. */
import type { CommandModule } from 'yargs';
import { launcherPath, removeLauncher } from './launcher.ts';
import { runProfile } from './run.ts';

interface Arguments {
  readonly name: string;
}

export const remove: CommandModule<object, Arguments> = {
  command: 'remove <name>',
  describe: 'forget a profile, and its entry of the menu',
  builder: (yargs) =>
    yargs.positional('name', {
      type: 'string',
      demandOption: true,
      describe: 'name of the profile',
    }),
  handler: ({ name }) =>
    runProfile(async (store) => {
      await store.remove(name);
      const path = launcherPath(name, process.env);
      const hadLauncher = await removeLauncher(path, name);
      process.stdout.write(`Removed ${name}${hadLauncher ? `, and ${path}` : ''}\n`);
      return 0;
    }),
};
