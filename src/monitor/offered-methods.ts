/** The methods that the configuration offers (RFC 4252 §5.1), in sshd's order. Runs in: monitor. */
import type { AuthenticationHost } from './authentication-host.ts';

export type AuthMethod =
  | 'publickey'
  | 'gssapi-with-mic'
  | 'password'
  | 'keyboard-interactive'
  | 'none';

/** `isPamTired`: no password is asked any more. */
export function offeredMethods(
  { config, isRootless }: Pick<AuthenticationHost, 'config' | 'isRootless'>,
  isPamTired: boolean,
): readonly AuthMethod[] {
  const offered: AuthMethod[] = [];
  if (config.pubkeyAuthentication) {
    offered.push('publickey');
  }
  if (config.gssapiAuthentication && !isRootless) {
    offered.push('gssapi-with-mic');
  }
  if (config.passwordAuthentication && !isRootless && !isPamTired) {
    offered.push('password');
  }
  const converses = config.kbdInteractiveAuthentication && config.usePam;
  if (converses && !isRootless && !isPamTired) {
    offered.push('keyboard-interactive');
  }
  return offered;
}
