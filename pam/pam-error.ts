/** What libpam calls its errors (pam_strerror(3) of Linux-PAM), as the log has them. Data. Runs in: monitor. */
const texts: readonly string[] = [
  'Success',
  'Failed to load module',
  'Symbol not found',
  'Error in service module',
  'System error',
  'Memory buffer error',
  'Permission denied',
  'Authentication failure',
  'Insufficient credentials to access authentication data',
  'Authentication service cannot retrieve authentication info',
  'User not known to the underlying authentication module',
  'Have exhausted maximum number of retries for service',
  'Authentication token is no longer valid; new one required',
  'User account has expired',
  'Cannot make/remove an entry for the specified session',
  'Authentication service cannot retrieve user credentials',
  'User credentials expired',
  'Failure setting user credentials',
  'No module specific data is present',
  'Conversation error',
  'Authentication token manipulation error',
  'Authentication information cannot be recovered',
  'Authentication token lock busy',
  'Authentication token aging disabled',
  'Failed preliminary check by password service',
  'The return value should be ignored by PAM dispatch',
  'Critical error - immediate abort',
  'Authentication token expired',
  'Module is unknown',
];

export const authenticationFailure = 7;
export const triesExhausted = 11;
export const accountExpired = 13;

export function pamErrorText(code: number): string {
  return texts[code] ?? 'Unknown PAM error';
}
