/** What is fuzzed: a parser, or a protocol machine that is spoken to, and how its bytes may come. */

export interface FuzzTarget {
  /** Also the folder below corpus/. */
  readonly name: string;
  /** Bytes in order, in pieces as a socket may give them; else one message, one file. */
  readonly isStream: boolean;
  /** From which the corpus was made; what was found since is in corpus/ besides. */
  seeds(): readonly Buffer[];
  /**
   * Speaks to a new one of it. What is thrown is a finding; `pieces` has one element unless
   * `isStream`.
   */
  run(pieces: readonly Buffer[]): Promise<void>;
  /** Runs of one second are about this many: the short test makes a part of it. */
  readonly perSecond: number;
}

/** Messages in one input: a length of two bytes before each. */
export function joinMessages(messages: readonly Buffer[]): Buffer {
  return Buffer.concat(
    messages.flatMap((message) => {
      const head = Buffer.alloc(2);
      head.writeUInt16BE(message.length);
      return [head, message];
    }),
  );
}

/** Whatever the input: a length that is too long takes what is left. */
export function splitMessages(input: Buffer): readonly Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at + 2 <= input.length; ) {
    const end = Math.min(input.length, at + 2 + input.readUInt16BE(at));
    messages.push(Buffer.from(input.subarray(at + 2, end)));
    at = end;
  }
  return messages;
}

/** Lets promises and streams that are ready run. */
export async function settled(turns = 3): Promise<void> {
  for (let turn = 0; turn < turns; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Rejects when `work` does not end: what hangs is a finding. */
export async function within<T>(work: Promise<T>, timeoutMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new Error(`${what}: nothing after ${timeoutMs} ms`)),
      timeoutMs,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
