/**
 * The initiator of GSSAPI with the tickets of the invoking user (RFC 2744; Kerberos alone). A step
 * may ask a KDC: it runs beside the event loop, and is given up after a time. Runs in: user.
 */
import {
  addon,
  checked,
  checkedValue,
  type GssExchange,
  openWatch,
  readable,
  type Watch,
} from './addon.native.ts';
import { NativeError } from './errors.ts';
import type { GssStep, GssTrouble } from './gss.ts';

/** A KDC that does not answer is asked again and again by libkrb5, for half a minute and more. */
const stepPatienceMs = 30_000;

export class GssContext {
  readonly #exchange: GssExchange;

  /** For the service `host/HOST`; krb5.conf says whether DNS has a say in that. */
  constructor(host: string, delegate: boolean) {
    this.#exchange = checkedValue('gssOpen', addon.gssOpen(host, delegate ? 1 : 0));
  }

  /** One at a time. `from`: the server's token, empty to begin. */
  async step(from: Buffer): Promise<GssStep> {
    const descriptor = checked('gssStep', addon.gssStep(this.#exchange, from));
    return (await isReadable(descriptor, stepPatienceMs))
      ? this.#taken()
      : {
          is: 'failed',
          token: Buffer.alloc(0),
          trouble: 'unreachable',
          reason: `no answer within ${stepPatienceMs / 1000} s`,
        };
  }

  #taken(): GssStep {
    const { state, token, trouble, reason, ...flags } = checkedValue(
      'gssTake',
      addon.gssTake(this.#exchange),
    );
    return state === 2
      ? { is: 'failed', token, trouble: trouble as GssTrouble, reason }
      : { is: state === 1 ? 'complete' : 'more', token, ...flags };
  }

  /** Of a complete context. Throws NativeError. */
  sign(bytes: Buffer): Buffer {
    const mic = addon.gssSign(this.#exchange, bytes);
    if (typeof mic === 'string') throw new NativeError('gssapi', 0, `gss_get_mic: ${mic}`);
    return mic;
  }
}

/** Closes it in either case. Keeps no process: who gives up does not wait for the KDC. */
function isReadable(descriptor: number, patienceMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (isThere: boolean): void => {
      clearTimeout(timer);
      addon.pollClose(watch);
      resolve(isThere);
    };
    const timer = setTimeout(() => settle(false), patienceMs);
    timer.unref();
    const watch: Watch = openWatch(descriptor, () => settle(true));
    addon.pollReference(watch, 0);
    addon.pollWant(watch, readable);
  });
}
