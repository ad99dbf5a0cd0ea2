/**
 * The monitor's view of the zygote: started once, asked to fork leaders, start workers and bind
 * ports. Runs in: monitor; the zygote itself is `pam/leader/zygote.c`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { ForkLeader, Bind, ChildEnded, KillChild, StartWorker } from '../../pam/zygote-protocol.ts';
import { LeaderClient } from '../../pam/leader-client.ts';
import { NativeError } from '../base/errors.ts';
import { SeqpacketLink, socketPair } from '../base/link.native.ts';
import { closeDescriptor, duplicate } from '../base/socket.native.ts';
import { Peer } from '../ssh/wire/peer.ts';

const forkTimeoutMs = 20_000;

export interface WorkerOrder {
  readonly arguments: readonly string[];
  readonly environment: readonly string[];
  readonly readOnly: readonly string[];
  readonly directory: string;
  readonly uid: number;
  readonly gid: number;
  readonly relaxed: boolean;
}

export class Zygote {
  readonly #peer: Peer;
  readonly #process: ChildProcess;
  readonly #watchers = new Map<number, (status: number) => void>();
  /** Deaths that were told before anybody asked for them. */
  readonly #ended = new Map<number, number>();
  /** The zygote is gone: nothing can be started any more. */
  onGone: () => void = () => {};

  /** errors: where it and its leaders complain. softFiles: the soft limit of open files that users' programs get; undefined: the usual one. */
  constructor(
    executable: string,
    softFiles: number | undefined,
    onFault: (error: unknown, name: string) => void,
    errors: 2 | 'ignore' = 2,
  ) {
    const [ours, theirs] = socketPair();
    // A process group of its own: a Ctrl-C at the terminal is the monitor's to handle.
    this.#process = spawn(
      executable,
      softFiles === undefined ? ['-z'] : ['-z', String(softFiles)],
      {
        detached: true,
        // Times that users read, and PAM modules go by, are in the daemon's zone.
        env: process.env.TZ === undefined ? {} : { TZ: process.env.TZ },
        stdio: ['ignore', 'ignore', errors, theirs],
      },
    );
    closeDescriptor(theirs);
    this.#process.on('error', (error) => onFault(error, 'zygote'));
    this.#peer = new Peer(new SeqpacketLink(ours), { closeDescriptor, onFault });
    this.#peer.onEnd = () => this.onGone();
    this.#peer.onNotice(ChildEnded, ({ pid, status }) => {
      const watcher = this.#watchers.get(pid);
      this.#watchers.delete(pid);
      if (watcher === undefined) {
        this.#ended.set(pid, status);
        // Pids of leaders nobody watches would pile up: only the latest matter.
        if (this.#ended.size > 1024) {
          this.#ended.delete(this.#ended.keys().next().value as number);
        }
      } else {
        watcher(status);
      }
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** `onEnded` is called once with the wait status. */
  watch(pid: number, onEnded: (status: number) => void): void {
    const status = this.#ended.get(pid);
    if (status === undefined) {
      this.#watchers.set(pid, onEnded);
    } else {
      this.#ended.delete(pid);
      onEnded(status);
    }
  }

  async forkLeader(
    title: string,
    onFault: (error: unknown, name: string) => void,
  ): Promise<LeaderClient> {
    const [ours, theirs] = socketPair();
    const peer = new Peer(new SeqpacketLink(ours), { closeDescriptor, onFault });
    try {
      const { values } = await this.#peer.call(ForkLeader, { title }, [theirs], {
        timeoutMs: forkTimeoutMs,
      });
      return new LeaderClient(peer, values.pid);
    } catch (error) {
      peer.close();
      throw error;
    }
  }

  async bind(
    address: string,
    port: number,
  ): Promise<{ readonly descriptor: number; readonly port: number }> {
    const { values, descriptors } = await this.#peer.call(Bind, { address, port });
    const [descriptor] = descriptors;
    if (descriptor === undefined) {
      throw new NativeError('zygote', 0, 'bind: no descriptor came');
    }
    return { descriptor, port: values.port };
  }

  async startWorker(order: WorkerOrder): Promise<{
    readonly pid: number;
    readonly skipped: readonly string[];
    readonly peerDescriptor: number;
  }> {
    const errors = duplicate(2);
    let ours: number;
    let theirs: number;
    try {
      [ours, theirs] = socketPair();
    } catch (error) {
      closeDescriptor(errors);
      throw error;
    }
    const text = (value: string): Buffer => Buffer.from(value);
    try {
      const { values } = await this.#peer.call(
        StartWorker,
        {
          ...order,
          arguments: order.arguments.map(text),
          environment: order.environment.map(text),
        },
        [theirs, errors],
        { timeoutMs: forkTimeoutMs },
      );
      return { ...values, peerDescriptor: ours };
    } catch (error) {
      closeDescriptor(ours);
      throw error;
    }
  }

  async kill(pid: number, signal: number): Promise<void> {
    await this.#peer.call(KillChild, { pid, signal });
  }

  close(): void {
    this.#peer.close();
  }
}
