import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Upload, create, poll, download as Java samples do it: no JSON library, no multipart library, HTTP_2 by default. */
public class Flow {
    static final HttpClient CLIENT = HttpClient.newHttpClient();
    static String baseUrl;
    static String apiKey;

    public static void main(String[] args) throws Exception {
        baseUrl = args[0];
        apiKey = args[1];
        String fileId = member(upload(Path.of(args[2])), "id");
        String create = "{\"input_file_id\": \"" + fileId + "\", \"endpoint\": \"/v1/chat/completions\", "
            + "\"completion_window\": \"24h\"}";
        String batch = text(request("/batches").header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(create)));
        String batchId = member(batch, "id");
        while (!batch.contains("\"status\":\"completed\"")) {
            if (batch.contains("\"status\":\"failed\"")) throw new IOException(batch);
            Thread.sleep(50);
            batch = text(request("/batches/" + batchId).GET());
        }
        HttpResponse<byte[]> content = CLIENT.send(
            request("/files/" + member(batch, "output_file_id") + "/content").GET().build(),
            HttpResponse.BodyHandlers.ofByteArray());
        System.out.write(content.body());
        System.out.flush();
    }

    static String upload(Path path) throws Exception {
        String boundary = "----JavaBoundary" + System.nanoTime();
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        body.write(("--" + boundary + "\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n")
            .getBytes(StandardCharsets.UTF_8));
        body.write(("--" + boundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\""
            + path.getFileName() + "\"\r\nContent-Type: application/jsonl\r\n\r\n").getBytes(StandardCharsets.UTF_8));
        body.write(Files.readAllBytes(path));
        body.write(("\r\n--" + boundary + "--\r\n").getBytes(StandardCharsets.UTF_8));
        return text(request("/files").header("Content-Type", "multipart/form-data; boundary=" + boundary)
            .POST(HttpRequest.BodyPublishers.ofByteArray(body.toByteArray())));
    }

    static HttpRequest.Builder request(String route) {
        return HttpRequest.newBuilder(URI.create(baseUrl + route)).header("Authorization", "Bearer " + apiKey);
    }

    static String text(HttpRequest.Builder request) throws Exception {
        HttpResponse<String> reply = CLIENT.send(request.build(), HttpResponse.BodyHandlers.ofString());
        if (reply.statusCode() != 200) throw new IOException(reply.statusCode() + " " + reply.body());
        return reply.body();
    }

    static String member(String json, String name) throws IOException {
        Matcher found = Pattern.compile("\"" + name + "\":\"([^\"]+)\"").matcher(json);
        if (!found.find()) throw new IOException("no " + name + " in " + json);
        return found.group(1);
    }
}
