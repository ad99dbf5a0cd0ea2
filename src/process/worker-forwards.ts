/** The `ForwardHost` of one connection: the monitor decides, the leader makes. Runs in: worker. */
import { closeDescriptor } from '../base/socket.native.ts';
import type { ForwardHost, Listening, RefusedOpen } from '../forwarding/host.ts';
import * as link from '../monitor/link.ts';
import type { Call } from '../ssh/wire/call.ts';
import type { AnyFields, Values } from '../ssh/wire/field.ts';
import { type Answer, CallFailure, type Peer } from '../ssh/wire/peer.ts';
import { openFailure } from './worker-sessions.ts';

const nothingThere: RefusedOpen = { refused: 2, text: 'open failed' };

export class MonitorForwards implements ForwardHost {
  readonly #peer: Peer;
  readonly #connection: number;

  constructor(peer: Peer, connection: number) {
    this.#peer = peer;
    this.#connection = connection;
  }

  /** undefined: refused. */
  async #ask<Q extends AnyFields, R extends AnyFields>(
    request: Call<Q, R>,
    values: Omit<Values<Q>, 'connection'>,
  ): Promise<Answer<R> | undefined> {
    const complete = { connection: this.#connection, ...values } as unknown as Values<Q>;
    try {
      return await this.#peer.call(request, complete);
    } catch (error) {
      if (error instanceof CallFailure) {
        return undefined;
      }
      throw error;
    }
  }

  async directTcpip(
    host: string,
    port: number,
    originAddress: string,
    originPort: number,
  ): Promise<{ readonly internal: string } | { readonly descriptor: number } | RefusedOpen> {
    const values = { connection: this.#connection, host, port, originAddress, originPort };
    try {
      const answer = await this.#peer.call(link.DirectTcpip, values);
      const { internalName } = answer.values;
      return internalName === '' ? only(answer.descriptors) : { internal: internalName };
    } catch (error) {
      return openFailure(error);
    }
  }

  async directStreamLocal(
    path: string,
    originAddress: string,
    originPort: number,
  ): Promise<{ readonly descriptor: number } | RefusedOpen> {
    const values = { connection: this.#connection, path, originAddress, originPort };
    try {
      return only((await this.#peer.call(link.DirectStreamLocal, values)).descriptors);
    } catch (error) {
      return openFailure(error);
    }
  }

  async listenTcp(host: string, port: number): Promise<Listening | undefined> {
    const answer = await this.#ask(link.TcpipForward, { host, port });
    return answer && { ...answer.values, descriptors: answer.descriptors };
  }

  async listenStreamLocal(path: string): Promise<Listening | undefined> {
    const answer = await this.#ask(link.StreamLocalForward, { path });
    return answer && { ...answer.values, port: 0, descriptors: answer.descriptors };
  }

  async closeListener(listener: number): Promise<void> {
    await this.#ask(link.CloseForward, { listener });
  }
}

function only(descriptors: readonly number[]): { readonly descriptor: number } | RefusedOpen {
  const [descriptor, ...more] = descriptors;
  more.forEach(closeDescriptor);
  return descriptor === undefined ? nothingThere : { descriptor };
}
