/**
 * Accounts by the hundred for the lab, written into its passwd, shadow and group at once: useradd
 * takes longer than a login. Runs in: test, as root, in the lab.
 */
import {
  appendFileSync,
  chmodSync,
  chownSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { run } from './lab.ts';

export interface Account {
  /** 0: another name of root's. */
  readonly uid?: number;
  readonly shell?: string;
  readonly groups?: readonly string[];
  /** What shadow(5) has behind the name; `$H` stands for the hash of `secret`. */
  readonly shadow?: string;
  /** Lines of ~/.ssh/authorized_keys; undefined: the plain key. */
  readonly keys?: readonly string[];
  /** Called when everything is in its place. */
  readonly spoil?: (home: string, uid: number) => void;
}

export interface MadeAccount {
  readonly name: string;
  readonly uid: number;
  readonly home: string;
}

const validShadow = '$H:19000:0:99999:7:::';
const firstUid = 3000;

export class Accounts {
  #hash = '';
  #made = 0;

  /** `keys` of an account are written as they are: the caller has put real keys in. */
  make(wanted: readonly (readonly [name: string, account: Account])[]): readonly MadeAccount[] {
    this.#hash ||= run('openssl', ['passwd', '-6', '-stdin'], 'secret\n').trim();
    const passwd: string[] = [];
    const shadow: string[] = [];
    const own: string[] = [];
    const members = new Map<string, string[]>();
    const made = wanted.map(([name, account]) => {
      const gid = firstUid + this.#made++;
      const uid = account.uid ?? gid;
      const home = `/home/${name}`;
      passwd.push(`${name}:x:${uid}:${gid}::${home}:${account.shell ?? '/bin/sh'}`);
      shadow.push(`${name}:${(account.shadow ?? validShadow).replace('$H', this.#hash)}`);
      own.push(`${name}:x:${gid}:`);
      for (const group of account.groups ?? []) {
        members.set(group, [...(members.get(group) ?? []), name]);
      }
      return { name, uid, gid, home, account };
    });
    appendFileSync('/etc/passwd', lines(passwd));
    appendFileSync('/etc/shadow', lines(shadow));
    writeFileSync('/etc/group', joined(readFileSync('/etc/group', 'utf8'), members) + lines(own));
    for (const { uid, gid, home, account } of made) {
      const folder = path.join(home, '.ssh');
      const file = path.join(folder, 'authorized_keys');
      mkdirSync(folder, { recursive: true });
      writeFileSync(file, lines(account.keys ?? []));
      for (const [place, mode] of [
        [home, 0o755],
        [folder, 0o700],
        [file, 0o600],
      ] as const) {
        chownSync(place, uid, gid);
        chmodSync(place, mode);
      }
      account.spoil?.(home, uid);
    }
    return made;
  }
}

const lines = (all: readonly string[]): string => all.map((line) => `${line}\n`).join('');

/** The text of group(5) with these members as well; groups that are not there are made. */
function joined(text: string, members: ReadonlyMap<string, readonly string[]>): string {
  const left = new Map(members);
  const known = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [name = ''] = line.split(':');
      const more = left.get(name);
      left.delete(name);
      return more === undefined ? line : `${line}${line.endsWith(':') ? '' : ','}${more.join(',')}`;
    });
  let gid = 2000 + known.length;
  const fresh = [...left].map(([name, more]) => `${name}:x:${gid++}:${more.join(',')}`);
  return lines([...known, ...fresh]);
}
