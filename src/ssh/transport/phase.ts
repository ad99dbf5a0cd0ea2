/**
 * Which message is allowed in which phase of the transport (RFC 4253 §7.1, §11; OpenSSH PROTOCOL
 * §1.10, strict kex). What has no row is a protocol error. Pure. Runs in: worker.
 */

/**
 * negotiating  the peer's first KEXINIT is awaited
 * exchanging   its KEXINIT is here, its public value is awaited
 * signing      the signer has the exchange
 * confirming   our NEWKEYS is out, the peer's is awaited
 * open         keys are in use; also while our KEXINIT of a later exchange waits for its answer
 */
export type Phase = 'negotiating' | 'exchanging' | 'signing' | 'confirming' | 'open';

export type Kind =
  | 'disconnect'
  | 'harmless'
  | 'ext-info'
  | 'kexinit'
  | 'newkeys'
  | 'kex-value'
  | 'ping'
  | 'pong'
  | 'above'
  | 'unknown'
  | 'never';

export type Action =
  | 'end'
  | 'ignore'
  /** Ignored, except in the first exchange of a strict kex (Terrapin). */
  | 'ignore-unless-strict'
  | 'check-ext-info'
  | 'negotiate'
  | 'exchange'
  | 'take-keys'
  | 'pong'
  | 'deliver'
  /**
   * RFC 4253 §7.1 forbids it to the peer; AsyncSSH ≤ 2.10 goes on with its channels until its NEWKEYS,
   * and sshd listens. In an exchange of an authenticated connection so does this.
   */
  | 'deliver-if-authenticated'
  | 'unimplemented';

export function kindOf(number: number): Kind {
  switch (number) {
    case 1:
      return 'disconnect';
    case 2:
    case 3:
    case 4:
      return 'harmless';
    case 5:
    case 6:
      return 'above';
    case 7:
      return 'ext-info';
    case 20:
      return 'kexinit';
    case 21:
      return 'newkeys';
    case 30:
      return 'kex-value';
    case 192:
      return 'ping';
    case 193:
      return 'pong';
    default:
      if (number === 0 || (number > 21 && number < 50)) {
        return 'never';
      }
      return number < 20 ? 'unknown' : 'above';
  }
}

const table: Record<Phase, Partial<Record<Kind, Action>>> = {
  negotiating: { disconnect: 'end', harmless: 'ignore', kexinit: 'negotiate' },
  exchanging: {
    disconnect: 'end',
    harmless: 'ignore-unless-strict',
    'kex-value': 'exchange',
    above: 'deliver-if-authenticated',
  },
  signing: {
    disconnect: 'end',
    harmless: 'ignore-unless-strict',
    above: 'deliver-if-authenticated',
  },
  confirming: {
    disconnect: 'end',
    harmless: 'ignore-unless-strict',
    newkeys: 'take-keys',
    above: 'deliver-if-authenticated',
  },
  open: {
    disconnect: 'end',
    harmless: 'ignore',
    'ext-info': 'check-ext-info',
    kexinit: 'negotiate',
    ping: 'pong',
    pong: 'ignore',
    above: 'deliver',
    unknown: 'unimplemented',
  },
};

/** undefined: refused, the connection ends. */
export function actionFor(phase: Phase, number: number): Action | undefined {
  return table[phase][kindOf(number)];
}
