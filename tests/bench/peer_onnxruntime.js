// peer_onnxruntime JOB.json: runs ONNX Runtime (CPU) on images that lie in memory, already preprocessed, and prints
// what it measured as JSON. bench.py writes the job and judges the features; nothing is judged here.
//
// Job: model; images, image_count, check (files of float32 [count][3][size][size]); size; threads; warmup and seconds
// (0: only the features); variants [{name, batch, check_count, features}], where features names the file for block5_pool
// of the first check_count of the check images, float32 [check_count][512][h][w].
'use strict';

const fs = require('fs');
const os = require('os');
const path = require('path');
const ort = require('onnxruntime-node');

function readFloats(file) {
  const bytes = fs.readFileSync(file);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

// All whole batches of some images, as tensors that share their memory.
function cutIntoBatches(floats, count, batch, size) {
  const pixels = 3 * size * size;
  const batches = [];
  for (let first = 0; first + batch <= count; first += batch)
    batches.push(new ort.Tensor('float32', floats.subarray(first * pixels, (first + batch) * pixels),
      [batch, 3, size, size]));
  return batches;
}

async function runFor(session, batches, seconds) {
  const begin = process.hrtime.bigint();
  let runs = 0, elapsed = 0;
  do {
    await session.run({ input: batches[runs++ % batches.length] });
    elapsed = Number(process.hrtime.bigint() - begin) * 1e-9;
  } while (elapsed < seconds);
  return { images: runs * batches[0].dims[0], seconds: elapsed };
}

async function main() {
  const job = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
  const images = job.seconds > 0 ? readFloats(job.images) : null;
  const check = readFloats(job.check);
  const results = [];
  for (const variant of job.variants) {
    const session = await ort.InferenceSession.create(job.model, {
      executionProviders: ['cpu'],
      intraOpNumThreads: job.threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      graphOptimizationLevel: 'all',
      enableCpuMemArena: true,
      enableMemPattern: true,
      freeDimensionOverrides: { batch: variant.batch },
    });
    const output = fs.openSync(variant.features, 'w');
    for (const batch of cutIntoBatches(check, variant.check_count, variant.batch, job.size)) {
      const features = (await session.run({ input: batch })).block5_pool.data;
      fs.writeSync(output, new Uint8Array(features.buffer, features.byteOffset, features.byteLength));
    }
    fs.closeSync(output);
    const result = { name: variant.name, images: 0, seconds: 0 };
    if (job.seconds > 0) {
      const batches = cutIntoBatches(images, job.image_count, variant.batch, job.size);
      await runFor(session, batches, job.warmup);
      Object.assign(result, await runFor(session, batches, job.seconds));
    }
    results.push(result);
    await session.release();
  }
  const folder = path.dirname(require.resolve('onnxruntime-node/package.json'));
  const version = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8')).version;
  console.log(JSON.stringify({ version: `ONNX Runtime ${version}, Node ${process.versions.node}, ${os.arch()}`, results }));
}

main().catch((error) => {
  console.error(`peer_onnxruntime: ${error.message}`);
  process.exit(1);
});
