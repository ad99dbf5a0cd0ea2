/**
 * `sshdesk start`: serves the invoking user on the loopback address with keys of its own, in the
 * foreground, and says how to log in. As root in root mode. Runs in: monitor.
 */
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { CommandModule } from 'yargs';
import { installDirectory } from '../../process/places.ts';
import { serve } from '../serve/serve.ts';
import { address, defaultPort, type Folder, prepareFolder } from '../start/folder.ts';
import { asUser, type InvokingUser, invokingUser } from '../start/invoking-user.ts';

interface Arguments {
  readonly port: string | readonly string[];
}

const usageFailed = 2;
const failed = 255;

export const start: CommandModule<object, Arguments> = {
  command: 'start',
  describe: 'serve the invoking user on 127.0.0.1, with keys of its own',
  builder: (yargs) =>
    yargs.option('port', {
      alias: 'p',
      type: 'string',
      default: String(defaultPort),
      requiresArg: true,
      describe: 'port on 127.0.0.1',
    }),
  handler: async ({ port }) => {
    const number = portOf(port);
    if (number === undefined) {
      process.stderr.write(
        `sshdesk start: -p ${String(port)}: a port from 1 to 65535 is expected\n`,
      );
      process.exitCode = usageFailed;
      return;
    }
    process.exitCode = await run(number);
  },
};

function portOf(text: string | readonly string[]): number | undefined {
  const port = typeof text === 'string' && /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65535 ? port : undefined;
}

async function run(port: number): Promise<number> {
  const isRootMode = process.getuid?.() === 0;
  let user: InvokingUser;
  let folder: Folder;
  try {
    user = invokingUser(process.env);
    const as = user;
    folder = asUser(as, () => prepareFolder(as, port, isRootMode));
  } catch (error) {
    process.stderr.write(`sshdesk: ${(error as Error).message}\n`);
    return failed;
  }
  for (const file of folder.made) {
    process.stdout.write(`sshdesk: made ${file}\n`);
  }
  const launcher = launcherFromHere();
  // Whoever read the first lines may have left (`| head`): the server goes on.
  process.stdout.on('error', () => {});
  return serve(['-D', '-e', '-f', folder.configFile], {
    endsWithTerminal: true,
    onReady: () => {
      const canView = Boolean(process.env.DISPLAY);
      process.stdout.write(`${invitation(user, port, folder, launcher, canView)}\n`);
    },
  });
}

/** As it is called from the folder where the person is: the daemon goes to `/` later. */
function launcherFromHere(): string {
  const isHere = realpathSync(process.cwd()) === realpathSync(installDirectory);
  return isHere ? './sshdesk' : quotedForShell(join(installDirectory, 'sshdesk'));
}

function invitation(
  user: InvokingUser,
  port: number,
  folder: Folder,
  launcher: string,
  canView: boolean,
): string {
  const options = [
    ...['-p', String(port), '-i', folder.loginKey],
    ...['-o', `UserKnownHostsFile=${quotedForSsh(folder.knownHosts)}`],
    ...['-o', 'IdentitiesOnly=yes', '-o', 'StrictHostKeyChecking=yes', `${user.name}@${address}`],
  ]
    .map(quotedForShell)
    .join(' ');
  return [
    '',
    `sshdesk serves ${user.name} on ${address}:${port}; Ctrl-C ends it, desktops stay.`,
    `A shell, and ${canView ? 'a desktop' : 'a picture of a desktop'}, from another terminal${launcher.startsWith('./') ? ' in this folder' : ''}:`,
    '',
    `ssh ${options}`,
    `${launcher} connect ${options}${canView ? '' : ' --screenshot ~/desktop.png'}`,
    '',
    ...(canView
      ? []
      : [
          'There is no display here to show a desktop on. With `--listen 5901` in place of --screenshot',
          'a viewer of yours finds it at 127.0.0.1:5901.',
          '',
        ]),
  ].join('\n');
}

/** A value of ssh's -o is split at blanks unless it is quoted. */
function quotedForSsh(path: string): string {
  return /\s/.test(path) ? `"${path}"` : path;
}

function quotedForShell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
