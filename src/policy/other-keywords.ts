/**
 * The keywords of sshd_config(5) that are not in effect: those that are accepted all the same, those
 * that sshd itself has given up, and all others, which stop the start. Ignoring a restriction would
 * be a hole; so nothing is ignored in silence. Data. Runs in: monitor, launcher.
 */
/** Taken with `yes` or `no` and reported once. */
export const acceptedKeywords: readonly string[] = ['PrintMotd', 'PrintLastLog'];

/** A warning only, as in sshd. */
export const deprecatedKeywords: readonly string[] = [
  'AFSTokenPassing',
  'AuthorizedKeysFile2',
  'CheckMail',
  'KeyRegenerationInterval',
  'PAMAuthenticationViaKbdInt',
  'Protocol',
  'ReverseMappingCheck',
  'RhostsAuthentication',
  'RhostsRSAAuthentication',
  'RSAAuthentication',
  'ServerKeyBits',
  'UseLogin',
  'SshdAuthPath',
  'SshdSessionPath',
  'UsePrivilegeSeparation',
];

/** OpenSSH 10.5, Debian's patches, and older names that are still understood there. */
export const unsupportedKeywords: readonly string[] = [
  'GSSAPIDelegateCredentials',
  'GSSAPIKexAlgorithms',
  'HostbasedAcceptedAlgorithms',
  'HostbasedAcceptedKeyTypes',
  'IPQoS',
  'ModuliFile',
  'PerSourcePenaltyExemptList',
  'RoutingDomain',
  'VerifyReverseMapping',
];
