/**
 * The port of a display engine: an X server that a viewer reaches by a Unix socket. Implementations are
 * rows of `subsystems/display/engines/index.ts`; the process hands the table to the broker.
 * Runs in: monitor.
 */
export interface Geometry {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
}

/** What a client asks for besides, by the name on the wire; checked by the engine. */
export type EngineParameters = ReadonlyMap<string, string>;

export type ParametersOutcome =
  | { readonly is: 'taken'; readonly parameters: EngineParameters }
  | { readonly is: 'refused'; readonly why: string };

export interface EngineOrder extends Geometry {
  readonly id: string;
  /** As the client named it. */
  readonly type: string;
  readonly display: number;
  /** The part of the desktop's directory that belongs to the user (0700). */
  readonly userDirectory: string;
  readonly xauthorityPath: string;
  /** As the engine took them. */
  readonly parameters: EngineParameters;
}

export interface EngineFile {
  /** Of small letters and hyphens. */
  readonly name: string;
  readonly content: Buffer;
}

/** What the log of an engine that takes one viewer at a time says it is at. */
export type ViewerState = 'waiting' | 'running' | 'changing' | 'suspended';

/**
 * An engine with one viewer at a time, which it knows by a cookie and tells of its own state by its
 * log. Its session begins when the first viewer has come: before, there is no screen.
 */
export interface SingleViewer {
  /** The folder of its files in the user's directory. */
  readonly below: string;
  /**
   * Read by it at the start, and again for every viewer. `cookie`: of the viewer, 32 hex digits.
   * `displayCookie`: of the desktop's own programs.
   */
  files(order: EngineOrder, cookie: string, displayCookie: Buffer): readonly EngineFile[];
  /** Undefined: the lines say nothing of it. */
  stateOf(logTail: string): ViewerState | undefined;
}

export interface DisplayEngine {
  /** As stored and listed, such as `xvnc`. */
  readonly name: string;
  /** What a client asks for, such as `rfb`. */
  readonly protocol: string;
  /** Session types; the first one is meant where none is named. */
  readonly types: readonly string[];
  readonly depths: readonly number[];
  /** What is to be said to whoever asks for it where its program is not installed. */
  missing(): string | undefined;
  /** To a client that speaks another protocol: how its desktops are seen. */
  readonly seenBy: string;
  /** Windows of their own on the viewer's screen, without a desktop around them. */
  isRootless(order: Pick<EngineOrder, 'type' | 'parameters'>): boolean;
  /** `before`: what a desktop that exists was given until now. */
  readParameters(
    given: EngineParameters,
    type: string,
    before?: EngineParameters,
  ): ParametersOutcome;
  /**
   * argv with the file first. An engine of many viewers writes its display number and LF to descriptor
   * 3.
   */
  command(order: EngineOrder): readonly [file: string, ...rest: string[]];
  /** `NAME=value`, in place of what the desktop's programs have there. */
  environment(order: EngineOrder): readonly string[];
  /** What runs in the desktop; undefined: its type has no place here, and `why` says what is missing. */
  session(
    order: Pick<EngineOrder, 'type' | 'parameters'>,
    usual: string,
  ): { readonly command: string } | { readonly why: string };
  /** Where a viewer's stream is connected to. */
  socketPath(userDirectory: string): string;
  /** The last lines say that another server has the display: another number is tried. */
  isDisplayTaken(logTail: readonly string[]): boolean;
  /** Absent: any number of viewers, each with a stream of its own. */
  readonly single?: SingleViewer;
}
/** Keyed by `protocol`. */
export type EngineTable = Readonly<Record<string, DisplayEngine>>;
