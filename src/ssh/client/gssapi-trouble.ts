/**
 * What a person can do about a ticket that does not work, a row for each trouble. Runs in: user.
 */
import type { GssTrouble } from '../../base/gss.ts';

interface Row {
  /** That there are no tickets is no news where nobody uses any: said when all else fails too. */
  readonly isQuiet: boolean;
  readonly remedy: (host: string) => string;
}

const rows: Readonly<Record<GssTrouble, Row>> = {
  'no-library': {
    isQuiet: true,
    remedy: () => 'install the library of Kerberos (Debian: libgssapi-krb5-2)',
  },
  'no-tickets': { isQuiet: true, remedy: () => 'kinit gets a ticket' },
  expired: { isQuiet: false, remedy: () => 'kinit gets a new ticket' },
  'unknown-host': {
    isQuiet: false,
    remedy: (host) =>
      `give the host its full name; if ${host} is that, its administrator has to make host/${host} in the realm`,
  },
  unreachable: {
    isQuiet: false,
    remedy: () => 'look at the network, and at [realms] in /etc/krb5.conf',
  },
  skew: { isQuiet: false, remedy: () => 'set the clock of this machine' },
  'no-realm': { isQuiet: true, remedy: () => '/etc/krb5.conf has to name a default_realm' },
  'wrong-key': {
    isQuiet: false,
    remedy: (host) =>
      `${host} has no key for the ticket: its administrator sees more with sshdesk doctor`,
  },
  protocol: { isQuiet: false, remedy: (host) => `${host} does not speak GSSAPI as it should` },
  other: { isQuiet: false, remedy: () => 'klist shows the tickets, kinit gets new ones' },
};

/** A ticket of another realm, and no way from there to the host's. */
const noTrust: Row = {
  isQuiet: false,
  remedy: (host) =>
    `kinit NAME@REALM, in the realm of ${host}; the one of this ticket is not trusted there`,
};

export interface Trouble {
  readonly isQuiet: boolean;
  readonly text: string;
}

export function explainTrouble(trouble: GssTrouble, reason: string, host: string): Trouble {
  const isOfRealm = trouble === 'unknown-host' && /\bkrbtgt\//.test(reason);
  const { isQuiet, remedy } = isOfRealm ? noTrust : rows[trouble];
  return {
    isQuiet,
    text: `Kerberos: ${reason === '' ? trouble : reason}. Remedy: ${remedy(host)}.`,
  };
}
