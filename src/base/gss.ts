/**
 * What a step of GSSAPI's initiator comes to (RFC 2743 §2.2.1); made by gss.native.ts. Runs in: user.
 */

/** What stands in the way, as far as a person can do something about it. */
export type GssTrouble =
  | 'no-library'
  | 'no-tickets'
  | 'expired'
  | 'unknown-host'
  | 'unreachable'
  | 'skew'
  | 'no-realm'
  | 'wrong-key'
  | 'protocol'
  | 'other';

export type GssStep =
  | {
      readonly is: 'more' | 'complete';
      /** For the server; empty: nothing is to be sent. */
      readonly token: Buffer;
      readonly isMutual: boolean;
      readonly isIntegral: boolean;
      readonly isDelegated: boolean;
    }
  | {
      readonly is: 'failed';
      /** An error token, for the server. */
      readonly token: Buffer;
      readonly trouble: GssTrouble;
      /** The library's words; they may have parts that came from a KDC or a server. */
      readonly reason: string;
    };
