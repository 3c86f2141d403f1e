// Runs the conformance cases in this process, whose environment names the instruction set, and prints what failed: a JSON object
// from the case's name to null or its error.
import { kernelConformance } from '@ultramem/kernels/conformance';
import { createNativeKernels } from '../src/native-kernels.ts';
import { probeNative } from '../src/probe-native.ts';

const probe = probeNative();
if (!probe.available) throw new Error(probe.why);
const kernels = createNativeKernels();
const failures: Record<string, string | null> = {};
for (const { name, run } of kernelConformance()) {
  try {
    await run(kernels);
    failures[name] = null;
  } catch (error) {
    failures[name] = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
}
await kernels.close();
console.log(JSON.stringify({ detail: probe.detail, failures }));
