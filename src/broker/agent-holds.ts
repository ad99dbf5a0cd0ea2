/**
 * Connections to desktops' agent sockets that a worker was given: the monitor's own hold on each, a
 * duplicate that is shut down when its time is over, whatever the worker keeps. Runs in: monitor.
 */
import { agentConnections } from '../base/limits.ts';
import type { AgentClient } from './desktop.ts';
import type { DescriptorPort } from './viewer-holds.ts';

interface Hold {
  readonly connection: number;
  readonly duplicate: number;
  readonly over: () => void;
}

const numbers = 2 ** 32;

export class AgentHolds {
  readonly #port: DescriptorPort;
  readonly #onTrouble: (error: unknown) => void;
  readonly #holds = new Map<number, Hold>();
  #last = 0;

  constructor(port: DescriptorPort, onTrouble: (error: unknown) => void) {
    this.#port = port;
    this.#onTrouble = onTrouble;
  }

  /** Owns the descriptor; as `AgentWay`. */
  give(connection: number, client: AgentClient, descriptor: number, over: () => void): () => void {
    const ofConnection = this.#holds.values().filter((hold) => hold.connection === connection);
    if (ofConnection.toArray().length >= agentConnections) {
      this.#port.close(descriptor);
      throw new Error(`${agentConnections} of this connection are open already`);
    }
    let duplicate: number;
    try {
      duplicate = this.#port.duplicate(descriptor);
    } catch (error) {
      this.#port.close(descriptor);
      throw error;
    }
    this.#last = (this.#last + 1) % numbers;
    const socket = this.#last;
    this.#holds.set(socket, { connection, duplicate, over });
    client.give(socket, descriptor);
    return () => void this.#end(socket);
  }

  #end(socket: number): Hold | undefined {
    const hold = this.#holds.get(socket);
    if (hold !== undefined) {
      this.#holds.delete(socket);
      try {
        this.#port.shutdown(hold.duplicate);
      } catch (error) {
        // ENOTCONN: the program in the desktop has gone already.
        this.#onTrouble(error);
      }
      this.#port.close(hold.duplicate);
    }
    return hold;
  }

  /** A worker's word; of a socket that its connection was not given it counts for nothing. */
  ended(connection: number, socket: number): void {
    if (this.#holds.get(socket)?.connection === connection) {
      this.#end(socket)?.over();
    }
  }

  endAll(connection: number): void {
    for (const [socket, hold] of this.#holds) {
      if (hold.connection === connection) {
        this.#end(socket)?.over();
      }
    }
  }
}
