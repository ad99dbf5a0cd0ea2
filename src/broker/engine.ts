/**
 * The port of a display engine: an X server that offers a Unix socket. Implementations are rows of
 * `subsystems/display/engines/index.ts`; the process hands the table to the broker. Runs in: monitor.
 */
export interface Geometry {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
}

export interface EngineOrder extends Geometry {
  readonly display: number;
  /** The part of the desktop's directory that belongs to the user (0700). */
  readonly userDirectory: string;
  readonly xauthorityPath: string;
}

export interface DisplayEngine {
  /** As stored and listed, such as `xvnc`. */
  readonly name: string;
  /** What a client asks for, such as `rfb`. */
  readonly protocol: string;
  /** Session types, the first one is how it is listed; the others are synonyms. */
  readonly types: readonly string[];
  readonly depths: readonly number[];
  /** argv with the file first. The program writes its display number and LF to descriptor 3. */
  command(order: EngineOrder): readonly [file: string, ...rest: string[]];
  /** Where a viewer's stream is connected to. */
  socketPath(userDirectory: string): string;
  /** The last lines say that another server has the display: another number is tried. */
  isDisplayTaken(logTail: readonly string[]): boolean;
}
/** Keyed by `protocol`. */
export type EngineTable = Readonly<Record<string, DisplayEngine>>;
