/** `sshdesk profile export NAME`: its file's text, or an entry of the desktop's menu. Runs in: user. */
import { rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { CommandModule } from 'yargs';
import { installDirectory } from '../../process/places.ts';
import { cannotWrite } from '../connect/file-trouble.ts';
import { launcherPath, writeLauncher } from './launcher.ts';
import { formatProfile } from './profile.ts';
import { runProfile } from './run.ts';

interface Arguments {
  readonly name: string;
  readonly launcher: boolean;
  readonly output: string | undefined;
}

export const exportProfile: CommandModule<object, Arguments> = {
  command: 'export <name>',
  describe: 'write a profile as JSON, or as an entry of the menu',
  builder: (yargs) =>
    yargs
      .positional('name', { type: 'string', demandOption: true, describe: 'name of the profile' })
      .option('launcher', {
        alias: 'desktop',
        type: 'boolean',
        default: false,
        describe: 'a .desktop file, in the menu or in --output',
      })
      .option('output', {
        type: 'string',
        requiresArg: true,
        nargs: 1,
        describe: 'this file instead of stdout or the menu',
      }),
  handler: ({ name, launcher, output }) =>
    runProfile(async (store) => {
      const profile = await store.read(name);
      if (launcher) {
        const path = output === undefined ? launcherPath(name, process.env) : resolve(output);
        await writeLauncher(path, profile, join(installDirectory, 'sshdesk'));
        process.stdout.write(`${path}\n`);
      } else if (output === undefined) {
        process.stdout.write(formatProfile(profile));
      } else {
        await writeWhole(resolve(output), formatProfile(profile));
      }
      return 0;
    }),
};

async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.part`;
  try {
    await writeFile(temporary, text, { mode: 0o600, flag: 'wx' });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw cannotWrite(path, error);
  }
}
