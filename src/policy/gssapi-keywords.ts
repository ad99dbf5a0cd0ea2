/**
 * The keywords of sshd_config(5) about Kerberos tickets, as rows for server-keywords.ts. Pure.
 * Runs in: monitor, launcher.
 */
import type { ServerDraft } from './server-draft.ts';
import { flag } from './server-row.ts';

export const gssapiAuthenticationRow = flag(
  'GSSAPIAuthentication',
  'gssapiAuthentication',
  'no',
  'Offers the method gssapi-with-mic: Kerberos tickets. Not without root, whose keytab it needs.',
);

export const gssapiCleanupCredentialsRow = flag(
  'GSSAPICleanupCredentials',
  'gssapiCleanupCredentials',
  'yes',
  'Tickets that a client passed on are removed with the last of its login.',
  ['GSSAPICleanupCreds'],
);

export const gssapiStrictAcceptorCheckRow = flag(
  'GSSAPIStrictAcceptorCheck',
  'gssapiStrictAcceptorCheck',
  'yes',
  'Tickets are for host/NAME with the name of this host; no: for anything that the keytab has a key of.',
);

/** Newer than the sshd whose `-T` is printed: not in it. */
export const gssapiDelegateCredentialsRow = {
  ...flag(
    'GSSAPIDelegateCredentials',
    'gssapiDelegateCredentials',
    'yes',
    'Tickets that a client passes on are kept for its login.',
  ),
  dump: () => [],
};

export const gssapiDefaults = {
  gssapiAuthentication: false,
  gssapiCleanupCredentials: true,
  gssapiStrictAcceptorCheck: true,
  gssapiDelegateCredentials: true,
} satisfies Partial<ServerDraft>;
