// A client in Java: a seed, one pool, and a run with its allocations.
//
//     ./build.sh
//     java @build/arguments Client 127.0.0.1:50051
//
// build.sh says which packages of Debian it is built with, and where else the protos are.
//
// The run needs a server on which the caller is an operator and an auditor, such as
// LOTTERY_TRUST_LOCAL=me:operator,auditor make serve

import static java.util.concurrent.TimeUnit.SECONDS;

import com.google.type.Date;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import lottery.v1.Lottery.Allocation;
import lottery.v1.Lottery.ExchangeAsk;
import lottery.v1.Lottery.Notice;
import lottery.v1.Lottery.Position;
import lottery.v1.Lottery.Seed;
import lottery.v1.LotteryServiceGrpc;
import lottery.v1.LotteryServiceOuterClass.AccountPosition;
import lottery.v1.LotteryServiceOuterClass.AllocateSeriesRequest;
import lottery.v1.LotteryServiceOuterClass.DeriveSeedRequest;
import lottery.v1.LotteryServiceOuterClass.RunLotteryRequest;
import lottery.v1.LotteryServiceOuterClass.RunLotteryResponse;
import lottery.v1.LotteryServiceOuterClass.RunSpec;
import lottery.v1.LotteryServiceOuterClass.StreamAllocationsRequest;

public final class Client {
  private static final Date DATE = Date.newBuilder().setYear(2024).setMonth(9).setDay(16).build();
  private static final List<ExchangeAsk> ASKS =
      List.of(
          ask("Z901803", "862.45713"),
          ask("Z901439", "118.20946"),
          ask("Z901466", "407.93388"),
          ask("Z901448", "1435.71263"));
  private static final String SERIES = "AAPL240920C00220000";
  private static final List<AccountPosition> POSITIONS =
      List.of(position("1046", 30), position("1047", 30), position("1048", 5));

  public static void main(String[] arguments) throws Exception {
    ManagedChannel channel = ManagedChannelBuilder.forTarget(arguments[0]).usePlaintext().build();
    try {
      call(channel);
    } finally {
      channel.shutdownNow().awaitTermination(10, SECONDS);
    }
  }

  private static void call(ManagedChannel channel) throws Exception {
    Seed seed = stub(channel).deriveSeed(
        DeriveSeedRequest.newBuilder().setBusinessDate(DATE).addAllExchangeAsks(ASKS).build())
        .getSeed();
    System.out.printf(
        "seed: composite %s, digits %s, fraction %s%n",
        seed.getComposite(), seed.getDigits(), seed.getFraction());

    AllocateSeriesRequest.Builder request =
        AllocateSeriesRequest.newBuilder()
            .setBusinessDate(DATE)
            .addAllExchangeAsks(ASKS)
            .setSeries(SERIES)
            .addAllPositions(POSITIONS);
    for (Allocation allocation :
        stub(channel).allocateSeries(request.setAssignedQuantity(10).build())
            .getAllocationsList()) {
      System.out.printf("%s: %d%n", allocation.getAccount(), allocation.getAssignedQuantity());
    }

    try {
      stub(channel).allocateSeries(request.setAssignedQuantity(0).build());
    } catch (StatusRuntimeException refused) {
      System.out.printf(
          "refused: %s: %s%n",
          refused.getStatus().getCode(), refused.getStatus().getDescription());
    }

    RunLotteryResponse answer = run(channel);
    String run = answer.getRun().getRun();
    System.out.printf(
        "run %s: %s%n", run, answer.getAlreadyRecorded() ? "recorded before" : "recorded");
    stub(channel)
        .streamAllocations(StreamAllocationsRequest.newBuilder().setRun(run).build())
        .forEachRemaining(
            part ->
                part.getAllocationsList().forEach(
                    each ->
                        System.out.printf(
                            "%s: %d to %d, %d assigned%n",
                            each.getAccount(),
                            each.getFirstNumber(),
                            each.getLastNumber(),
                            each.getAssignedQuantity())));
  }

  /** Sends a day in any number of messages, of which the first has the spec. */
  private static RunLotteryResponse run(ManagedChannel channel) throws Exception {
    CompletableFuture<RunLotteryResponse> answer = new CompletableFuture<>();
    StreamObserver<RunLotteryRequest> messages =
        LotteryServiceGrpc.newStub(channel)
            .withDeadlineAfter(60, SECONDS)
            .runLottery(
                new StreamObserver<>() {
                  @Override
                  public void onNext(RunLotteryResponse response) {
                    answer.complete(response);
                  }

                  @Override
                  public void onError(Throwable error) {
                    answer.completeExceptionally(error);
                  }

                  @Override
                  public void onCompleted() {}
                });
    RunSpec spec =
        RunSpec.newBuilder()
            .setBusinessDate(DATE)
            .addAllExchangeAsks(ASKS)
            .setNoticeCount(1)
            .setPositionCount(POSITIONS.size())
            .build();
    messages.onNext(RunLotteryRequest.newBuilder().setSpec(spec).build());
    Notice notice =
        Notice.newBuilder().setNoticeId("A1").setSeries(SERIES).setQuantity(10).build();
    messages.onNext(RunLotteryRequest.newBuilder().addNotices(notice).build());
    RunLotteryRequest.Builder rows = RunLotteryRequest.newBuilder();
    for (AccountPosition each : POSITIONS) {
      rows.addPositions(
          Position.newBuilder()
              .setSeries(SERIES)
              .setAccount(each.getAccount())
              .setShortQuantity(each.getShortQuantity()));
    }
    messages.onNext(rows.build());
    messages.onCompleted();
    return answer.get();
  }

  /** Returns a stub whose next call ends within a minute. */
  private static LotteryServiceGrpc.LotteryServiceBlockingStub stub(ManagedChannel channel) {
    return LotteryServiceGrpc.newBlockingStub(channel).withDeadlineAfter(60, SECONDS);
  }

  private static ExchangeAsk ask(String securityNumber, String askPrice) {
    return ExchangeAsk.newBuilder()
        .setSecurityNumber(securityNumber)
        .setAskPrice(askPrice)
        .build();
  }

  private static AccountPosition position(String account, long shortQuantity) {
    return AccountPosition.newBuilder()
        .setAccount(account)
        .setShortQuantity(shortQuantity)
        .build();
  }

  private Client() {}
}
