/**
 * The messages of user authentication that belong to no method (RFC 4252, RFC 4253 §10), each
 * declared once. Messages 60–79 stand in the file of their method. Runs in: worker, user (client).
 */
import { bool, nameList, rest, string, text } from '../wire/field.ts';
import { message } from '../wire/message.ts';

/** RFC 4253 §10 */
export const ServiceRequest = message(5, 'SERVICE_REQUEST', { service: text });
export const ServiceAccept = message(6, 'SERVICE_ACCEPT', { service: text });

/** RFC 4252 §5. The user name is bytes until someone who may decide has looked at it. */
export const UserauthRequest = message(50, 'USERAUTH_REQUEST', {
  claimedUser: string,
  service: text,
  method: text,
  data: rest,
});
/** RFC 4252 §5.1 */
export const UserauthFailure = message(51, 'USERAUTH_FAILURE', {
  canContinue: nameList,
  partialSuccess: bool,
});
export const UserauthSuccess = message(52, 'USERAUTH_SUCCESS', {});
/** RFC 4252 §5.4 */
export const UserauthBanner = message(53, 'USERAUTH_BANNER', { text: string, language: string });

/** RFC 4252 §6: numbers that mean what the running method says. */
export const firstMethodNumber = 60;
export const lastMethodNumber = 79;
/** RFC 4250 §4.1.2: from here on the connection protocol. */
export const firstConnectionNumber = 80;
