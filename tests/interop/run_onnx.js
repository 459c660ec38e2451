// run_onnx MODEL COUNT SIDE IMAGES PREFIX: runs a model on IMAGES, float32 [COUNT][3][SIDE][SIDE], in ONNX Runtime and
// writes PREFIX.NAME for each output, float32, and its shape to standard output as JSON. Run it where onnxruntime-node is.
'use strict';

const fs = require('fs');
const ort = require(require.resolve('onnxruntime-node', { paths: [process.cwd()] }));

async function main() {
  const [model, count, side, images, prefix] = process.argv.slice(2);
  const session = await ort.InferenceSession.create(model);
  const bytes = fs.readFileSync(images);
  const floats = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  const input = new ort.Tensor('float32', floats, [Number(count), 3, Number(side), Number(side)]);
  const results = await session.run({ [session.inputNames[0]]: input });
  const shapes = { inputs: session.inputNames, outputs: {} };
  for (const name of session.outputNames) {
    const { data, dims } = results[name];
    fs.writeFileSync(`${prefix}.${name}`, Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    shapes.outputs[name] = dims;
  }
  console.log(JSON.stringify(shapes));
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
