import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Publishes the event of a file to Kafka, as its source: mvn -q compile exec:java -Dexec.args=event.json
 *
 * <p>KAFKA says where, KAFKA_USER and KAFKA_PASSWORD_FILE who; KAFKA_CA, where Kafka encrypts, the
 * file of its authority.
 */
public class Publish {
    public static void main(String[] arguments) throws Exception {
        byte[] content = Files.readAllBytes(Path.of(arguments[0]));
        var event = new ObjectMapper().readTree(content);
        var topic = event.get("source").asText().substring(1) + ".events.v1";
        // The key settles the partition, by the client's default.
        var key = event.get("partitionkey").asText().getBytes(StandardCharsets.UTF_8);
        var record = new ProducerRecord<>(topic, key, content);
        record.headers().add("content-type", "application/cloudevents+json".getBytes(StandardCharsets.UTF_8));
        try (var producer = new KafkaProducer<byte[], byte[]>(settings())) {
            // Returns when the event is on the disks of Kafka, and throws if that cannot be known.
            var done = producer.send(record).get();
            System.out.println(done.topic() + " " + done.partition() + " " + done.offset());
        }
    }

    private static Properties settings() throws Exception {
        var environment = System.getenv();
        var password = Files.readString(Path.of(environment.get("KAFKA_PASSWORD_FILE"))).strip();
        var ca = environment.get("KAFKA_CA");
        var settings = new Properties();
        settings.put("bootstrap.servers", environment.get("KAFKA"));
        settings.put("security.protocol", ca == null ? "SASL_PLAINTEXT" : "SASL_SSL");
        settings.put("sasl.mechanism", "SCRAM-SHA-512");
        settings.put(
            "sasl.jaas.config",
            "org.apache.kafka.common.security.scram.ScramLoginModule required username=\""
                + environment.get("KAFKA_USER") + "\" password=\"" + password + "\";");
        if (ca != null) {
            settings.put("ssl.truststore.type", "PEM");
            settings.put("ssl.truststore.location", ca);
        }
        // All copies have it before it counts, and a retry of the client is no second record.
        settings.put("acks", "all");
        settings.put("enable.idempotence", "true");
        settings.put("key.serializer", ByteArraySerializer.class.getName());
        settings.put("value.serializer", ByteArraySerializer.class.getName());
        return settings;
    }
}
