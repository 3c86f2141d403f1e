import type { Transport } from '@ultramem/transport';

/** What runs, as processes or within this one. Knows no client yet. */
export interface RunningCluster {
  readonly url: string;
  /** What dials `url`. */
  readonly transport: Transport;
  /** Null within this process. */
  readonly coordinatorPid: number | null;
  readonly workers: readonly RunningWorker[];
  /** Ends everything; harmless when it has ended. */
  stop(): Promise<void>;
}

export interface RunningWorker {
  readonly id: string;
  /** Null within this process, and when it has ended. */
  readonly pid: number | null;
  kill(): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Ends it if it still runs and starts it anew; whether it is ready again, the coordinator knows. */
  restart(): Promise<void>;
}
