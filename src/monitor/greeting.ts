/**
 * What the user of a login shell reads first, in sshd's order: PAM's messages, when the last login was
 * (before this one is recorded), /etc/motd; nothing where there is a ~/.hushlogin. And what is read
 * where /etc/nologin keeps users out, which is PAM's affair where there is PAM. Runs in: monitor.
 */
import type { Log } from '../audit/log.ts';
import type { Login } from './connection.ts';
import { readShownFile } from './shown-file.ts';

const motdFile = '/etc/motd';
const nologinFile = '/etc/nologin';

/** Whatever it is and whatever is in it. */
async function isHushed({ leader, account }: Login): Promise<boolean> {
  const read = await leader.readFile(`${account.home}/.hushlogin`, false, 0);
  return read.is !== 'absent';
}

async function lastLoginLine({ leader }: Login): Promise<string> {
  const { when, host } = await leader.lastLogin();
  return when === '' ? '' : `Last login: ${when}${host === '' ? '' : ` from ${host}`}\r\n`;
}

/** Without a terminal it is what PAM has to say, and no more. */
export async function greetingFor(
  login: Login,
  hasTerminal: boolean,
  messages: Buffer,
  log: Log,
): Promise<Buffer> {
  const { printLastLog, printMotd } = login.config;
  const [isQuiet, last, motd] = await Promise.all([
    isHushed(login),
    hasTerminal && printLastLog ? lastLoginLine(login) : '',
    hasTerminal && printMotd
      ? readShownFile(motdFile, (why) => log.debug(`${motdFile}: ${why}`))
      : undefined,
  ]);
  return isQuiet
    ? Buffer.alloc(0)
    : Buffer.concat([messages, Buffer.from(last), motd ?? Buffer.alloc(0)]);
}

/** What whoever is kept out reads; undefined: nobody is. */
export async function nologinText(login: Login, log: Log): Promise<Buffer | undefined> {
  if (login.config.usePam || login.account.uid === 0) {
    return undefined;
  }
  const text = await readShownFile(nologinFile, (why) => log.debug(`${nologinFile}: ${why}`));
  if (text !== undefined) {
    log.info(`User ${login.user} not allowed because ${nologinFile} exists`);
  }
  return text;
}
