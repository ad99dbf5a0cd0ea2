/** The values of sshd_config(5) as its lines give them. Declarations only. Runs in: monitor, launcher. */
import type { AuthenticationDraft } from './authentication-keywords.ts';
import type { ServerConfig, SourcePenalties } from './config.ts';
import type { PublicKeyDraft } from './public-key-keywords.ts';
import type { ListenSpec } from './values.ts';

/** What lines say; they add up, and of each word the first counts. */
export type PenaltiesDraft = Partial<SourcePenalties>;

/** What lines say, before addresses are looked up and defaults are filled in. */
export type ServerDraft = Omit<
  ServerConfig,
  | 'listenAddresses'
  | 'isHostKeyDefault'
  | 'pidFile'
  | 'banner'
  | 'forceCommand'
  | 'chrootDirectory'
  | 'xauthLocation'
  | 'sourcePenalties'
  | 'rekeyLimit'
  | keyof PublicKeyDraft
  | keyof AuthenticationDraft
> &
  PublicKeyDraft &
  AuthenticationDraft & {
    readonly rekeyLimit: { readonly bytes: number; readonly ms: number | undefined };
    readonly listen: readonly ListenSpec[];
    /** `none` where sshd says so. */
    readonly pidFile: string;
    readonly banner: string;
    readonly forceCommand: string;
    readonly chrootDirectory: string;
    readonly xauthLocation: string;
    readonly sourcePenalties: PenaltiesDraft;
  };
