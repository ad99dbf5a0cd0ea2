/**
 * Opens the person's browser without telling the address to everybody: what stands in `ps` is the
 * path of a page of theirs alone, which leads on to the address. Runs in: user.
 */
import { spawn } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export interface BrowserCommand {
  readonly program: string;
  readonly words: readonly string[];
}

/** A launcher that has not failed by then has done its work; some stay as long as the browser. */
const launchMs = 4000;

/**
 * BROWSER as in other programs: commands between colons, `%s` for the address, else it comes last.
 * Empty: there is no screen for a browser here.
 */
export function browserCommands(
  environment: NodeJS.ProcessEnv,
  platform: NodeJS.Platform,
  address: string,
): readonly BrowserCommand[] {
  const { BROWSER = '', DISPLAY = '', WAYLAND_DISPLAY = '' } = environment;
  const separator = platform === 'win32' ? ';' : ':';
  const wished = BROWSER.split(separator)
    .map((text) => text.trim().split(/\s+/))
    .filter(([program]) => program !== '')
    .map(([program = '', ...rest]) => {
      const isPlaced = rest.some((word) => word.includes('%s'));
      const words = rest.map((word) => word.replaceAll('%s', () => address));
      return { program, words: isPlaced ? words : [...words, address] };
    });
  if (platform === 'win32') {
    return [...wished, { program: 'rundll32', words: ['url.dll,FileProtocolHandler', address] }];
  }
  if (platform === 'darwin') return [...wished, { program: 'open', words: [address] }];
  if (wished.length === 0 && DISPLAY === '' && WAYLAND_DISPLAY === '') return [];
  return [
    ...wished,
    { program: 'xdg-open', words: [address] },
    { program: 'x-www-browser', words: [address] },
  ];
}

/** Whether there is a command to try at all. */
export function hasBrowser(environment: NodeJS.ProcessEnv, platform: NodeJS.Platform): boolean {
  return browserCommands(environment, platform, '').length > 0;
}

/** A page in a folder of mode 0700 that leads to `target`; removed by `close`. */
export class LeadingPage {
  readonly #folder: string;
  readonly address: string;

  private constructor(folder: string, path: string) {
    this.#folder = folder;
    this.address = pathToFileURL(path).href;
  }

  static async write(target: string, environment: NodeJS.ProcessEnv): Promise<LeadingPage> {
    const folder = await privateFolder(environment.XDG_RUNTIME_DIR);
    try {
      await chmod(folder, 0o700);
      const path = join(folder, 'desktop.html');
      await writeFile(path, leadingPage(target), { mode: 0o600, flag: 'wx' });
      return new LeadingPage(folder, path);
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  async close(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** A place of the login that is not there any more, as under su, is none. */
async function privateFolder(runtimeDirectory: string | undefined): Promise<string> {
  const name = 'sshdesk-web-';
  if (runtimeDirectory) {
    try {
      return await mkdtemp(join(runtimeDirectory, name));
    } catch {
      // The other place will do; why it does not, if so, is said from there.
    }
  }
  return mkdtemp(join(tmpdir(), name));
}

/** `target` is made of our own host, port and base64url. */
function leadingPage(target: string): string {
  return [
    '<!doctype html>',
    '<html lang="en"><head><meta charset="utf-8"><meta name="referrer" content="no-referrer">',
    `<meta http-equiv="refresh" content="0; url=${target}"><title>sshdesk</title></head>`,
    `<body><p><a href="${target}">To the desktop</a></p></body></html>`,
    '',
  ].join('\n');
}

/** Tries one after the other; false when none of them starts. */
export async function openBrowser(
  commands: readonly BrowserCommand[],
  environment: NodeJS.ProcessEnv,
): Promise<boolean> {
  for (const command of commands) {
    if (await isLaunched(command, environment)) return true;
  }
  return false;
}

function isLaunched(command: BrowserCommand, environment: NodeJS.ProcessEnv): Promise<boolean> {
  const { program, words } = command;
  return new Promise((resolve) => {
    const child = spawn(program, words, { detached: true, stdio: 'ignore', env: environment });
    const timer = setTimeout(() => resolve(true), launchMs).unref();
    const end = (isGood: boolean): void => {
      clearTimeout(timer);
      resolve(isGood);
    };
    child.on('error', () => end(false));
    child.on('exit', (code) => end(code === 0));
    // It outlives this process: the person's browser may have started with it.
    child.unref();
  });
}
