/**
 * The messages of the connection protocol (RFC 4254), each declared once. CHANNEL_DATA and
 * CHANNEL_EXTENDED_DATA are bulk: they are read and written by hand in `mux.ts` and the transport.
 * Runs in: worker, user (client).
 */
import { bool, rest, string, text, uint32 } from '../wire/field.ts';
import { message, type MessageOf } from '../wire/message.ts';

/** RFC 4254 §4 */
export const GlobalRequest = message(80, 'GLOBAL_REQUEST', {
  name: text,
  wantReply: bool,
  data: rest,
});
export const RequestSuccess = message(81, 'REQUEST_SUCCESS', { data: rest });
export const RequestFailure = message(82, 'REQUEST_FAILURE', {});

/** RFC 4254 §5.1 */
export const ChannelOpen = message(90, 'CHANNEL_OPEN', {
  type: text,
  sender: uint32,
  windowBytes: uint32,
  maxPacketBytes: uint32,
  data: rest,
});
export type ChannelOpen = MessageOf<typeof ChannelOpen>;
export const ChannelOpenConfirmation = message(91, 'CHANNEL_OPEN_CONFIRMATION', {
  recipient: uint32,
  sender: uint32,
  windowBytes: uint32,
  maxPacketBytes: uint32,
  data: rest,
});
export const ChannelOpenFailure = message(92, 'CHANNEL_OPEN_FAILURE', {
  recipient: uint32,
  reason: uint32,
  description: text,
  language: string,
});
export const openFailure = {
  administrativelyProhibited: 1,
  connectFailed: 2,
  unknownChannelType: 3,
  resourceShortage: 4,
} as const;

/** RFC 4254 §5.2 */
export const ChannelWindowAdjust = message(93, 'CHANNEL_WINDOW_ADJUST', {
  recipient: uint32,
  bytes: uint32,
});
export const ChannelData = message(94, 'CHANNEL_DATA', { recipient: uint32, data: string });
export const ChannelExtendedData = message(95, 'CHANNEL_EXTENDED_DATA', {
  recipient: uint32,
  type: uint32,
  data: string,
});
/** The one data type code that RFC 4254 §5.2 defines. */
export const extendedDataStderr = 1;

/** RFC 4254 §5.3 */
export const ChannelEof = message(96, 'CHANNEL_EOF', { recipient: uint32 });
export const ChannelClose = message(97, 'CHANNEL_CLOSE', { recipient: uint32 });

/** RFC 4254 §5.4 */
export const ChannelRequest = message(98, 'CHANNEL_REQUEST', {
  recipient: uint32,
  name: text,
  wantReply: bool,
  data: rest,
});
export const ChannelSuccess = message(99, 'CHANNEL_SUCCESS', { recipient: uint32 });
export const ChannelFailure = message(100, 'CHANNEL_FAILURE', { recipient: uint32 });
