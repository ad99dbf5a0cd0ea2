/**
 * The keywords of sshd_config(5) that are not in effect: those that mean nothing here, those that
 * sshd itself has given up, and all others, which stop the start. Ignoring a restriction would be a
 * hole; so nothing is ignored in silence. Data. Runs in: monitor, launcher.
 */
/** Where sshd has programs that there are none of here; a line for who debugs. */
export const meaninglessKeywords: readonly string[] = [
  'SshdAuthPath',
  'SshdSessionPath',
  'UsePrivilegeSeparation',
];

/** A warning only, as in sshd. */
export const deprecatedKeywords: readonly string[] = [
  'AFSTokenPassing',
  'AuthorizedKeysFile2',
  'CheckMail',
  'GSSAPIUseSessionCredCache',
  'GSSUseSessionCCache',
  'KerberosTgtPassing',
  'KeyRegenerationInterval',
  'PAMAuthenticationViaKbdInt',
  'PermitBlacklistedKeys',
  'Protocol',
  'ReverseMappingCheck',
  'RhostsAuthentication',
  'RhostsRSAAuthentication',
  'RSAAuthentication',
  'ServerKeyBits',
  'UseLogin',
  'VerifyReverseMapping',
];

/** OpenSSH 10.5 and Debian's patches. */
export const unsupportedKeywords: readonly string[] = ['RoutingDomain'];
