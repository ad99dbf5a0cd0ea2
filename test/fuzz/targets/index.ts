/** What is fuzzed, in the order of a run over everything. */
import type { FuzzTarget } from '../target.ts';
import { askedChannels } from './asked-channels.ts';
import { authorizedKeys } from './authorized-keys.ts';
import { certificate } from './certificate.ts';
import { clientHandshake } from './client-handshake.ts';
import { clientMessages } from './client-messages.ts';
import { controlLines } from './control-lines.ts';
import { displayDialogue } from './display-dialogue.ts';
import { displayLogin } from './display-login.ts';
import { hostKeys } from './host-keys.ts';
import { knownHosts } from './known-hosts.ts';
import { linkFrames } from './link-frames.ts';
import { messages } from './messages.ts';
import { profile } from './profile.ts';
import { revokedKeys } from './revoked-keys.ts';
import { rfbServer } from './rfb-server.ts';
import { signature } from './signature.ts';
import { socks } from './socks.ts';
import { sshConfig } from './ssh-config.ts';
import { transportClear } from './transport-clear.ts';
import { transportKeyed } from './transport-keyed.ts';
import { x11Admission } from './x11-admission.ts';
import { x11Request } from './x11-request.ts';
import { x11Setup } from './x11-setup.ts';
import { x509 } from './x509.ts';

export const fuzzTargets: readonly FuzzTarget[] = [
  transportClear,
  transportKeyed,
  messages,
  askedChannels,
  socks,
  x11Request,
  x11Admission,
  linkFrames,
  signature,
  hostKeys,
  certificate,
  revokedKeys,
  x509,
  authorizedKeys,
  clientHandshake,
  clientMessages,
  knownHosts,
  sshConfig,
  displayDialogue,
  displayLogin,
  rfbServer,
  x11Setup,
  controlLines,
  profile,
];
