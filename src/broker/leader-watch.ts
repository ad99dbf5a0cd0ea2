/** What a desktop's leader tells of its own accord, as promises. Runs in: monitor. */
import type { DesktopLeader } from './leader-port.ts';

export type Ending =
  | { readonly is: 'ended'; readonly reason: string; readonly tail: string }
  | { readonly is: 'exited'; readonly handle: number; readonly how: string }
  | { readonly is: 'gone' };

/** Takes the leader's notices over; one per leader. None of the promises rejects. */
export class LeaderWatch {
  /** The first sign of the end: a process of the desktop, the desktop or the leader. */
  readonly ended: Promise<Ending>;
  /** The desktop is over: by the leader's word, or because there is no leader any more. */
  readonly farewell: Promise<Ending>;
  /** Nothing is answered any more. */
  readonly gone: Promise<void>;
  readonly #abort = new AbortController();

  constructor(leader: DesktopLeader) {
    const first = Promise.withResolvers<Ending>();
    const last = Promise.withResolvers<Ending>();
    const gone = Promise.withResolvers<void>();
    this.ended = first.promise;
    this.farewell = last.promise;
    this.gone = gone.promise;
    const end = (ending: Ending): void => {
      first.resolve(ending);
      last.resolve(ending);
      this.#abort.abort();
    };
    leader.onExited = ({ handle, status, signal }) => {
      const how = signal === 0 ? `exited with status ${status}` : `was ended by signal ${signal}`;
      first.resolve({ is: 'exited', handle, how });
      this.#abort.abort();
    };
    leader.onDesktopEnded = (reason, tail) => end({ is: 'ended', reason, tail });
    leader.onGone = () => {
      end({ is: 'gone' });
      gone.resolve();
    };
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }
}
