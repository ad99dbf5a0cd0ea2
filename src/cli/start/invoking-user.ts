/** Who called: under sudo the one who typed it. Accounts come through NSS. Runs in: monitor, user. */
import { execFileSync } from 'node:child_process';

export interface InvokingUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

export function invokingUser(environment: NodeJS.ProcessEnv): InvokingUser {
  const ownUid = process.getuid?.() ?? 0;
  const sudoUser = environment.SUDO_USER;
  return account(ownUid === 0 && sudoUser ? sudoUser : String(ownUid));
}

export function account(nameOrUid: string): InvokingUser {
  let line: string;
  try {
    line = execFileSync('getent', ['passwd', '--', nameOrUid], { encoding: 'utf8' });
  } catch (error) {
    throw new Error(`there is no account ${nameOrUid}`, { cause: error });
  }
  const [name = '', , uid, gid, , home = ''] = line.trimEnd().split(':');
  if (!home.startsWith('/')) {
    throw new Error(`the account ${name} has no home directory`);
  }
  return { name, uid: Number(uid), gid: Number(gid), home };
}

/**
 * Runs `act` with the user's effective ids where this process is root and the user is not: what lies
 * below a home is written as its owner, so that a link placed there reaches nothing of root's.
 */
export function asUser<T>(user: InvokingUser, act: () => T): T {
  if (process.geteuid?.() !== 0 || user.uid === 0) {
    return act();
  }
  const groups = process.getgroups?.() ?? [];
  // Missing in @types/node.
  (process as unknown as { initgroups(name: string, gid: number): void }).initgroups(
    user.name,
    user.gid,
  );
  process.setegid?.(user.gid);
  process.seteuid?.(user.uid);
  try {
    return act();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
    process.setgroups?.(groups);
  }
}
