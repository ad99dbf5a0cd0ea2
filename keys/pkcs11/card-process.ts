/**
 * The process that has a PKCS#11 module in it, so that what a module does to its process it does to
 * this one only. `card-module.ts` starts it, in a session of its own without a terminal, with a socket
 * pair as descriptor 3 and its own pid as argument; it ends when that does. Runs in: card.
 */
import { readlinkSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { endWithParent, setNotDumpable, setProcessTitle } from '../../src/base/confine.native.ts';
import { ConfigError } from '../../src/base/errors.ts';
import { SeqpacketLink } from '../../src/base/link.native.ts';
import { closeDescriptor, setCloseOnExec } from '../../src/base/socket.native.ts';
import type { Call } from '../../src/ssh/wire/call.ts';
import type { AnyFields, Values } from '../../src/ssh/wire/field.ts';
import { CallFailure, Peer } from '../../src/ssh/wire/peer.ts';
import * as calls from './calls.ts';
import { Library, type ObjectRecord } from './library.native.ts';
import { checkModuleFile } from './module-file.ts';

const link = 3;
const keepMs = 20;

/** No core and no reading of its memory by others: a PIN passes through here. */
setNotDumpable();
endWithParent(Number(process.argv[2]));
setProcessTitle('sshdesk: card');
setCloseOnExec(link, true);

class CardProcess {
  readonly #peer: Peer;
  #library: Library | undefined;
  /** Of the slot asked for last: it is read in pages. */
  #listed: readonly ObjectRecord[] = [];

  constructor() {
    this.#peer = new Peer(new SeqpacketLink(link), { closeDescriptor, rejectDescriptors: true });
    this.#peer.onEnd = () => process.exit(0);
    this.#serve(calls.load, ({ path }) => this.#load(path));
    this.#serve(calls.tokens, () => ({ tokens: this.#loaded().tokens() }));
    this.#serve(calls.objects, ({ slot, from }) => this.#objects(slot, from));
    this.#serve(calls.logIn, ({ slot, pin }) => {
      erasing(pin, () => this.#loaded().logIn(slot, pin));
      return {};
    });
    this.#serve(calls.findKey, ({ slot, id, label, keyType }) =>
      this.#loaded().findKey(slot, id, label, keyType),
    );
    this.#serve(calls.sign, ({ slot, key, mechanism, data, isContextLogin, pin }) =>
      erasing(pin, () =>
        this.#loaded().sign(slot, key, mechanism, data, isContextLogin ? pin : undefined),
      ),
    );
    this.#serve(calls.finalize, () => {
      this.#loaded().finalize();
      return {};
    });
  }

  #serve<Q extends AnyFields, R extends AnyFields>(
    of: Call<Q, R>,
    handle: (values: Values<Q>) => Values<R>,
  ): void {
    this.#peer.onCall(of, (values) => {
      try {
        return Promise.resolve({ values: handle(values) });
      } catch (error) {
        return Promise.reject(error);
      } finally {
        endCopy();
      }
    });
  }

  #load(path: string): { resolved: string } {
    if (this.#library !== undefined) {
      throw new CallFailure(calls.failure.refused, 'a module is loaded already');
    }
    const resolved = checked(path);
    this.#library = new Library(resolved);
    // It ends by a signal, at which nothing would be kept. Later: somebody waits for the answer.
    setTimeout(flushCompileCache, keepMs).unref();
    return { resolved };
  }

  #loaded(): Library {
    if (this.#library === undefined) {
      throw new CallFailure(calls.failure.refused, 'no module is loaded');
    }
    return this.#library;
  }

  #objects(slot: Buffer, from: number): { objects: readonly ObjectRecord[]; isMore: boolean } {
    if (from === 0) this.#listed = this.#loaded().objects(slot);
    const to = from + calls.maxObjectsPerReply;
    return { objects: this.#listed.slice(from, to), isMore: to < this.#listed.length };
  }
}

function checked(path: string): string {
  try {
    return checkModuleFile(path, process.geteuid?.() ?? 0);
  } catch (error) {
    if (error instanceof ConfigError) throw new CallFailure(calls.failure.refused, error.detail);
    throw error;
  }
}

function erasing<Value>(pin: Buffer, run: () => Value): Value {
  try {
    return run();
  } finally {
    pin.fill(0);
  }
}

/** A module that forks and returns twice would have two processes answer one call. */
function endCopy(): void {
  let self: string;
  try {
    self = readlinkSync('/proc/self');
  } catch {
    // Without /proc there is nothing to compare with; replies out of turn end the link then.
    return;
  }
  if (self !== String(process.pid)) process.kill(Number(self), 'SIGKILL');
}

new CardProcess();
