/** Where the memory of a process holds a word: to see that a secret has left it. Runs in: test. */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

const chunkBytes = 1024 * 1024;

/** Every place at which the readable memory of a process holds one of the words. */
export function placesOf(pid: number, words: readonly Buffer[]): readonly string[] {
  const found: string[] = [];
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
      const [, from = '', to = '', mode = '', name = ''] =
        /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)$/.exec(line) ?? [];
      if (mode.startsWith('rw') && name !== '[vvar]') {
        const [start, end] = [Number.parseInt(from, 16), Number.parseInt(to, 16)];
        found.push(
          ...withIn(memory, start, end, words).map((at) => `${at.toString(16)} ${mode} ${name}`),
        );
      }
    }
  } finally {
    closeSync(memory);
  }
  return found;
}

function withIn(memory: number, start: number, end: number, words: readonly Buffer[]): number[] {
  const found: number[] = [];
  const longest = Math.max(...words.map((word) => word.length));
  const chunk = Buffer.alloc(chunkBytes + longest);
  for (let at = start; at < end; at += chunkBytes) {
    let length: number;
    try {
      length = readSync(memory, chunk, 0, Math.min(chunk.length, end - at), at);
    } catch (error) {
      // Reserved, with nothing behind it.
      if (['EIO', 'EFAULT'].includes((error as NodeJS.ErrnoException).code ?? '')) {
        continue;
      }
      throw error;
    }
    for (const word of words) {
      const offset = chunk.subarray(0, length).indexOf(word);
      if (offset >= 0) {
        found.push(at + offset);
      }
    }
  }
  return found;
}
