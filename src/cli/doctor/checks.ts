/** The checks of `sshdesk doctor`, in the order of its table. Runs in: user. */
import type { Check } from './check.ts';
import { configuration } from './checks/configuration.ts';
import { directories } from './checks/directories.ts';
import { hostKeys } from './checks/host-keys.ts';
import { kerberosClock } from './checks/kerberos-clock.ts';
import { kerberosHostName } from './checks/kerberos-host-name.ts';
import { kerberosKeytab } from './checks/kerberos-keytab.ts';
import { kerberosRealm } from './checks/kerberos-realm.ts';
import { nativeParts } from './checks/native-parts.native.ts';
import { node } from './checks/node.ts';
import { pamService } from './checks/pam-service.ts';
import { port } from './checks/port.ts';
import { session } from './checks/session.ts';
import { workerAccount } from './checks/worker-account.ts';
import { x11Directory } from './checks/x11-directory.ts';
import { xvnc } from './checks/xvnc.ts';

/** Of GSSAPIAuthentication: said by `serve -t` too. */
export const kerberosChecks: readonly Check[] = [
  kerberosRealm,
  kerberosKeytab,
  kerberosHostName,
  kerberosClock,
];

export const checks: readonly Check[] = [
  node,
  nativeParts,
  configuration,
  hostKeys,
  port,
  workerAccount,
  pamService,
  directories,
  xvnc,
  session,
  x11Directory,
  ...kerberosChecks,
];
