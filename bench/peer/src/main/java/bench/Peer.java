package bench;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The durable debit as one writes it with Kafka Streams: a mark is read, a copy is refused, the price of
 * a lesson is taken off the purse, and what was charged is written with the balance before and after.
 *
 * <p>Arguments: bootstrap servers, topic of marks, topic of debits, application id, folder of the state,
 * commit interval in ms (0: the default of exactly-once, 100), `rocksdb` or `memory`, threads.
 */
public final class Peer {
  private static final String SEEN = "seen";
  private static final String PURSES = "purses";
  private static final long NOMINAL_KOPECKS = 9_000_000;
  private static final int LESSONS = 1_000;
  private static final Duration CLOSE_MAX = Duration.ofSeconds(20);

  /** Every field is read by type; what is missing or of another type is a defect and stops the thread. */
  private static final ObjectMapper JSON =
      new ObjectMapper()
          .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
          .enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
          .setSerializationInclusion(JsonInclude.Include.NON_NULL);

  record Mark(
      @JsonProperty(value = "enrollment_id", required = true) String enrollmentId,
      @JsonProperty(value = "lesson_id", required = true) String lessonId,
      @JsonProperty(value = "lesson_date", required = true) String lessonDate,
      @JsonProperty(required = true) String mark,
      @JsonProperty(required = true) String evidence,
      @JsonProperty(required = true) int revision) {}

  record Marked(
      @JsonProperty(required = true) String specversion,
      @JsonProperty(required = true) String id,
      @JsonProperty(required = true) String source,
      @JsonProperty(required = true) String type,
      @JsonProperty(required = true) String time,
      @JsonProperty(required = true) String subject,
      @JsonProperty(required = true) String partitionkey,
      @JsonProperty(required = true) Mark data) {}

  record Purse(
      @JsonProperty(value = "nominal_kopecks", required = true) long nominalKopecks,
      @JsonProperty(value = "balance_kopecks", required = true) long balanceKopecks,
      @JsonProperty(value = "lessons_left", required = true) int lessonsLeft) {}

  record Input(String source, String id, String type, @JsonProperty("natural_key") String naturalKey) {}

  record Charge(
      @JsonProperty("enrollment_id") String enrollmentId,
      @JsonProperty("lesson_id") String lessonId,
      @JsonProperty("lesson_date") String lessonDate,
      String mark,
      int revision,
      @JsonProperty("amount_kopecks") long amountKopecks,
      @JsonProperty("balance_before_kopecks") long balanceBeforeKopecks,
      @JsonProperty("balance_kopecks") long balanceKopecks,
      @JsonProperty("lessons_left") int lessonsLeft,
      String reason,
      Input input) {}

  record Charged(
      String specversion,
      String id,
      String source,
      String type,
      String time,
      String subject,
      String partitionkey,
      Charge data) {}

  /** The decision and both stores: one record in, at most one out. */
  static final class Debits implements Processor<String, Marked, String, Charged> {
    private ProcessorContext<String, Charged> context;
    private KeyValueStore<String, Integer> seen;
    private KeyValueStore<String, Purse> purses;

    @Override
    public void init(ProcessorContext<String, Charged> context) {
      this.context = context;
      this.seen = context.getStateStore(SEEN);
      this.purses = context.getStateStore(PURSES);
    }

    @Override
    public void process(Record<String, Marked> record) {
      Marked event = record.value();
      Mark mark = event.data();
      OffsetDateTime.parse(event.time());
      String naturalKey = mark.enrollmentId() + ":" + mark.lessonId();
      Integer revision = seen.get(naturalKey);
      if (revision != null) {
        // A copy, or a later word about a lesson that is charged: corrections are not its task.
        if (revision < mark.revision()) {
          seen.put(naturalKey, mark.revision());
        }
        return;
      }
      if (!mark.mark().equals("present")) {
        return;
      }
      Purse purse = purses.get(mark.enrollmentId());
      if (purse == null) {
        purse = new Purse(NOMINAL_KOPECKS, NOMINAL_KOPECKS, LESSONS);
      }
      if (purse.lessonsLeft() == 0) {
        return;
      }
      long amount = purse.balanceKopecks() / purse.lessonsLeft();
      Purse after =
          new Purse(purse.nominalKopecks(), purse.balanceKopecks() - amount, purse.lessonsLeft() - 1);
      seen.put(naturalKey, mark.revision());
      purses.put(mark.enrollmentId(), after);
      Charge charge =
          new Charge(
              mark.enrollmentId(),
              mark.lessonId(),
              mark.lessonDate(),
              mark.mark(),
              mark.revision(),
              amount,
              purse.balanceKopecks(),
              after.balanceKopecks(),
              after.lessonsLeft(),
              "Ребёнок был на занятии " + mark.lessonDate() + ": списано " + amount + " коп.",
              new Input(event.source(), event.id(), event.type(), naturalKey + "#" + mark.revision()));
      Charged charged =
          new Charged(
              "1.0",
              "peer:" + naturalKey + "#" + mark.revision(),
              "/peer",
              "billing.lesson-charged.v1",
              event.time(),
              event.subject(),
              event.partitionkey(),
              charge);
      context.forward(record.withKey(event.partitionkey()).withValue(charged));
    }
  }

  static <T> Serde<T> json(Class<T> type) {
    Serializer<T> serializer =
        (topic, value) -> {
          try {
            return value == null ? null : JSON.writeValueAsBytes(value);
          } catch (IOException error) {
            throw new IllegalStateException(error);
          }
        };
    Deserializer<T> deserializer =
        (topic, bytes) -> {
          try {
            return bytes == null ? null : JSON.readValue(bytes, type);
          } catch (IOException error) {
            throw new IllegalArgumentException(error);
          }
        };
    return Serdes.serdeFrom(serializer, deserializer);
  }

  private static KeyValueBytesStoreSupplier store(String name, String kind) {
    return kind.equals("rocksdb")
        ? Stores.persistentKeyValueStore(name)
        : Stores.inMemoryKeyValueStore(name);
  }

  static Topology topology(String marks, String debits, String kind) {
    return new Topology()
        .addSource("marks", Serdes.String().deserializer(), json(Marked.class).deserializer(), marks)
        .addProcessor("debits", Debits::new, "marks")
        .addStateStore(
            Stores.keyValueStoreBuilder(store(SEEN, kind), Serdes.String(), Serdes.Integer()), "debits")
        .addStateStore(
            Stores.keyValueStoreBuilder(store(PURSES, kind), Serdes.String(), json(Purse.class)), "debits")
        .addSink("charges", debits, Serdes.String().serializer(), json(Charged.class).serializer(), "debits");
  }

  public static void main(String[] arguments) throws InterruptedException {
    Properties settings = new Properties();
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[3]);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[4]);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.NUM_STANDBY_REPLICAS_CONFIG, 0);
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, Integer.parseInt(arguments[7]));
    settings.put(StreamsConfig.producerPrefix(ProducerConfig.ACKS_CONFIG), "all");
    settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    if (!arguments[5].equals("0")) {
      settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, Integer.parseInt(arguments[5]));
    }
    KafkaStreams streams = new KafkaStreams(topology(arguments[1], arguments[2], arguments[6]), settings);
    CountDownLatch stopped = new CountDownLatch(1);
    streams.setStateListener(
        (now, before) -> {
          System.out.println(now);
          if (now == KafkaStreams.State.ERROR) {
            stopped.countDown();
          }
        });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(CLOSE_MAX)));
    streams.start();
    stopped.await();
    System.exit(1);
  }
}
