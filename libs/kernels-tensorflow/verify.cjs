// One operation on a fresh TensorFlow; prints its version and device. Ends with 1 when the result is wrong. TensorFlow itself
// names the graphics card on the standard error, at this log level.
const util = require('node:util');
util.isNullOrUndefined ??= (value) => value == null;
process.env.TF_CPP_MIN_LOG_LEVEL = '0';
process.env.TF_FORCE_GPU_ALLOW_GROWTH ??= 'true';
const tensorflow = require('@tensorflow/tfjs-node-gpu');
const { binding, isUsingGpuDevice } = tensorflow.backend();
const [result] = tensorflow.mul([2], [3]).dataSync();
console.log(`TensorFlow ${binding.TF_Version}, ${isUsingGpuDevice ? 'GPU' : 'CPU'}`);
process.exitCode = result === 6 ? 0 : 1;
