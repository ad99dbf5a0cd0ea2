/** Who has a TCP port, for the message that it is taken. Runs in: monitor. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

const listening = '0A';

/** `socket:[INODE]` → the owner's uid. */
function inodesOf(port: number): ReadonlyMap<string, number> {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  const inodes = new Map<string, number>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of readLines(table).slice(1)) {
      const fields = line.trim().split(/\s+/);
      if (fields[3] === listening && fields[1]?.endsWith(`:${wanted}`) === true) {
        inodes.set(`socket:[${fields[9]}]`, Number(fields[7]));
      }
    }
  }
  return inodes;
}

function readLines(path: string): readonly string[] {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n');
  } catch {
    return []; // a host without IPv6 has no such table
  }
}

function holds(pid: string, inodes: ReadonlyMap<string, number>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) =>
      inodes.has(readlinkSync(`/proc/${pid}/fd/${fd}`)),
    );
  } catch {
    return false; // ended meanwhile, or not ours to look into
  }
}

/** `sshd (pid 12)`; undefined when nobody listens any more; `another user's process` unseen. */
export function whoListens(port: number): string | undefined {
  const inodes = inodesOf(port);
  if (inodes.size === 0) {
    return undefined;
  }
  const pid = readdirSync('/proc').find((name) => /^\d+$/.test(name) && holds(name, inodes));
  if (pid !== undefined) {
    return `${programOf(pid)} (pid ${pid})`;
  }
  const isOwn = [...inodes.values()].every((uid) => uid === process.getuid?.());
  return isOwn
    ? 'a process of yours that hides what it holds, such as another sshdesk'
    : "another user's process";
}

/** What `ps` shows in front of the arguments; a title of ours whole. */
function programOf(pid: string): string {
  const shown = (readLines(`/proc/${pid}/cmdline`)[0] ?? '').split('\0', 1)[0] as string;
  return shown === '' ? (readLines(`/proc/${pid}/comm`)[0] ?? '?') : shown.trim();
}
