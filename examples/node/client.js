// A client in Node: a seed, one pool, and a run with its allocations.
//
//     npm install
//     node client.js 127.0.0.1:50051 [PROTOS]
//
// PROTOS is the folder of the protos: the repository's by default. An installation has them too:
//
//     python -c "import lottery, pathlib; print(pathlib.Path(lottery.__file__).parent / 'proto')"
//
// The run needs a server on which the caller is an operator and an auditor, such as
// LOTTERY_TRUST_LOCAL=me:operator,auditor make serve

"use strict";

const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const DATE = { year: 2024, month: 9, day: 16 };
const ASKS = [
  { security_number: "Z901803", ask_price: "862.45713" },
  { security_number: "Z901439", ask_price: "118.20946" },
  { security_number: "Z901466", ask_price: "407.93388" },
  { security_number: "Z901448", ask_price: "1435.71263" },
];
const SERIES = "AAPL240920C00220000";
const POSITIONS = [
  { account: "1046", short_quantity: 30 },
  { account: "1047", short_quantity: 30 },
  { account: "1048", short_quantity: 5 },
];

function connect(target, protos) {
  const definition = loader.loadSync("lottery/v1/lottery_service.proto", {
    includeDirs: [protos],
    keepCase: true,
    longs: String, // A quantity may have 64 bits, which a number of JavaScript has not.
    enums: String,
    defaults: true, // A zero is a value.
  });
  const { LotteryService } = grpc.loadPackageDefinition(definition).lottery.v1;
  return new LotteryService(target, grpc.credentials.createInsecure());
}

function call(client, method, request) {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + 60_000;
    client[method](request, { deadline }, (error, response) =>
      error ? reject(error) : resolve(response),
    );
  });
}

function run(client, spec, notices, positions) {
  return new Promise((resolve, reject) => {
    const stream = client.RunLottery((error, response) =>
      error ? reject(error) : resolve(response),
    );
    stream.write({ spec }); // It comes first; rows follow in any number of messages.
    stream.write({ notices });
    stream.write({ positions });
    stream.end();
  });
}

async function main(target, protos = path.join(__dirname, "..", "..", "proto")) {
  const client = connect(target, protos);
  const { seed } = await call(client, "DeriveSeed", { business_date: DATE, exchange_asks: ASKS });
  console.log(`seed: composite ${seed.composite}, digits ${seed.digits}, fraction ${seed.fraction}`);

  const request = { business_date: DATE, exchange_asks: ASKS, series: SERIES };
  const answer = await call(client, "AllocateSeries", {
    ...request,
    assigned_quantity: 10,
    positions: POSITIONS,
  });
  for (const { account, assigned_quantity } of answer.allocations) {
    console.log(`${account}: ${assigned_quantity}`);
  }

  try {
    await call(client, "AllocateSeries", { ...request, assigned_quantity: 0 });
  } catch (error) {
    console.log(`refused: ${grpc.status[error.code]}: ${error.details}`);
  }

  const { run: recorded, already_recorded } = await run(
    client,
    { business_date: DATE, exchange_asks: ASKS, notice_count: 1, position_count: 3 },
    [{ notice_id: "A1", series: SERIES, quantity: 10 }],
    POSITIONS.map((position) => ({ ...position, series: SERIES })),
  );
  console.log(`run ${recorded.run}: ${already_recorded ? "recorded before" : "recorded"}`);

  const parts = client.StreamAllocations({ run: recorded.run });
  for await (const { allocations } of parts) {
    for (const { account, first_number, last_number, assigned_quantity } of allocations) {
      console.log(`${account}: ${first_number} to ${last_number}, ${assigned_quantity} assigned`);
    }
  }
  client.close();
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
