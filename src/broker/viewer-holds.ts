/**
 * The monitor's own hold on every display stream that a worker of its was given: a duplicate, which
 * is shut down when the viewer is over. A worker that was taken over may keep its descriptor; it
 * leads nowhere then. Runs in: monitor.
 */

/** What is done with descriptors; handed in. */
export interface DescriptorPort {
  /** Throws when there is no room. */
  duplicate(descriptor: number): number;
  /** Both directions, for every copy of the descriptor. */
  shutdown(descriptor: number): void;
  close(descriptor: number): void;
}

export interface HeldViewer {
  readonly viewer: number;
  /** Of the desktop. */
  readonly id: string;
}

interface Hold {
  readonly id: string;
  readonly duplicate: number;
}

export class ViewerHolds {
  readonly #port: DescriptorPort;
  readonly #onTrouble: (error: unknown) => void;
  /** By connection, then by viewer. */
  readonly #holds = new Map<number, Map<number, Hold>>();

  constructor(port: DescriptorPort, onTrouble: (error: unknown) => void) {
    this.#port = port;
    this.#onTrouble = onTrouble;
  }

  /** The descriptor stays the caller's. Throws when it cannot be held: then nobody may have it. */
  hold(connection: number, viewer: number, id: string, descriptor: number): void {
    const duplicate = this.#port.duplicate(descriptor);
    const ofConnection = this.#holds.get(connection) ?? new Map<number, Hold>();
    this.#holds.set(connection, ofConnection);
    ofConnection.set(viewer, { id, duplicate });
  }

  /** Nothing comes or goes over it any more, whoever has it. */
  end(connection: number, viewer: number): void {
    const ofConnection = this.#holds.get(connection);
    const hold = ofConnection?.get(viewer);
    if (ofConnection === undefined || hold === undefined) {
      return;
    }
    ofConnection.delete(viewer);
    if (ofConnection.size === 0) {
      this.#holds.delete(connection);
    }
    try {
      this.#port.shutdown(hold.duplicate);
    } catch (error) {
      // ENOTCONN: the display has gone already.
      this.#onTrouble(error);
    }
    this.#port.close(hold.duplicate);
  }

  endAll(connection: number): void {
    for (const { viewer } of this.of(connection)) {
      this.end(connection, viewer);
    }
  }

  of(connection: number): readonly HeldViewer[] {
    const ofConnection = this.#holds.get(connection) ?? [];
    return [...ofConnection].map(([viewer, { id }]) => ({ viewer, id }));
  }
}
