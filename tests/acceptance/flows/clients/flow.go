// Upload, create, poll, download with Go's standard library: mime/multipart streams the file through a pipe.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

var baseURL, apiKey string

type batch struct {
	ID           string `json:"id"`
	Status       string `json:"status"`
	OutputFileID string `json:"output_file_id"`
}

func main() {
	baseURL, apiKey = os.Args[1], os.Args[2]
	var file struct {
		ID string `json:"id"`
	}
	decode(upload(os.Args[3]), &file)

	wanted, _ := json.Marshal(map[string]string{
		"input_file_id": file.ID, "endpoint": "/v1/chat/completions", "completion_window": "24h",
	})
	var made batch
	decode(send("POST", "/batches", "application/json", bytes.NewReader(wanted)), &made)
	for made.Status != "completed" {
		if made.Status == "failed" {
			fail(fmt.Errorf("%+v", made))
		}
		time.Sleep(50 * time.Millisecond)
		decode(send("GET", "/batches/"+made.ID, "", nil), &made)
	}
	os.Stdout.Write(send("GET", "/files/"+made.OutputFileID+"/content", "", nil))
}

func upload(path string) []byte {
	file, err := os.Open(path)
	fail(err)
	defer file.Close()
	read, write := io.Pipe()
	form := multipart.NewWriter(write)
	go func() {
		part, err := form.CreateFormFile("file", filepath.Base(path))
		if err == nil {
			_, err = io.Copy(part, file)
		}
		if err == nil {
			err = form.WriteField("purpose", "batch")
		}
		if err == nil {
			err = form.Close()
		}
		write.CloseWithError(err)
	}()
	return send("POST", "/files", form.FormDataContentType(), read)
}

func send(method, route, contentType string, body io.Reader) []byte {
	request, err := http.NewRequest(method, baseURL+route, body)
	fail(err)
	request.Header.Set("Authorization", "Bearer "+apiKey)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	reply, err := http.DefaultClient.Do(request)
	fail(err)
	defer reply.Body.Close()
	content, err := io.ReadAll(reply.Body)
	fail(err)
	if reply.StatusCode != 200 {
		fail(fmt.Errorf("%s %s: %d %s", method, route, reply.StatusCode, content))
	}
	return content
}

func decode(content []byte, into any) {
	fail(json.Unmarshal(content, into))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
