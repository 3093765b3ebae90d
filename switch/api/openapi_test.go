package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/tongma/tongma"
)

var update = flag.Bool("update", false, "write openapi.json anew")

func TestTheCommittedDocumentIsTheOneThatIsServed(t *testing.T) {
	b := newBench(t)
	got := b.ask("", "GET", "/v1/openapi.json", "")
	if *update {
		if err := os.WriteFile("openapi.json", got.body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("openapi.json")
	if err != nil || !bytes.Equal(want, got.body) {
		t.Fatalf("openapi.json is not what is served (%v): look at the difference, then run this test with -update", err)
	}
}

// walk calls see for every value of a JSON document.
func walk(path string, v any, see func(path string, v any)) {
	see(path, v)
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			walk(path+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name), member, see)
		}
	case []any:
		for _, item := range v {
			walk(path+"/-", item, see)
		}
	}
}

func TestTheDocumentHoldsTogether(t *testing.T) {
	b := newBench(t)
	var doc map[string]any
	if err := json.Unmarshal(b.api.openapi, &doc); err != nil {
		t.Fatal(err)
	}
	values, ids, used := map[string]any{}, map[string]bool{}, map[string]bool{}
	walk("#", doc, func(path string, v any) { values[path] = v })
	for path, v := range values {
		switch v := v.(type) {
		case nil:
			t.Errorf("%s is null", path)
		case string:
			if strings.HasSuffix(path, "/$ref") {
				if used[v] = true; values[v] == nil {
					t.Errorf("%s: nothing at %s", path, v)
				}
			}
			if v == "null" {
				t.Errorf("%s lets null in", path)
			}
		case map[string]any:
			id, ok := v["operationId"].(string)
			if !ok {
				continue
			}
			if ids[id] || v["summary"] == nil || v["tags"] == nil || len(v["responses"].(map[string]any)) < 2 {
				t.Errorf("%s: id used twice, or something missing", path)
			}
			ids[id] = true
			for _, name := range []string{"{id}"} {
				if strings.Contains(path, name) && !strings.Contains(string(mustJSON(v["parameters"])), `"in":"path"`) {
					t.Errorf("%s: parameter %s is not described", path, name)
				}
			}
		}
	}
	for path := range values {
		if name, ok := strings.CutPrefix(path, "#/components/schemas/"); ok && !strings.Contains(name, "/") && !used[path] {
			t.Errorf("schema %s is used by nothing", name)
		}
	}
	if doc["openapi"] != "3.1.0" || len(ids) < 20 || values["#/info/license/identifier"] != "Apache-2.0" || values["#/servers"] == nil || values["#/components/securitySchemes/token/scheme"] != "bearer" {
		t.Errorf("%v, %d operations", doc["openapi"], len(ids))
	}
}

func mustJSON(v any) []byte {
	text, _ := json.Marshal(v)
	return text
}

func TestEveryReasonOfTheDocumentIsInTheCatalogue(t *testing.T) {
	b := newBench(t)
	for _, op := range b.api.operations(newDocument().Components.Schemas) {
		for status, response := range op.Responses {
			codes, _ := response.Extensions["x-tongma-reasons"].([]string)
			for _, text := range codes {
				code, slug, _ := strings.Cut(text, " ")
				if r, ok := tongma.ParseReason(code); !ok || r.String() != slug {
					t.Errorf("%s %s: %q", op.OperationID, status, text)
				}
			}
		}
	}
}
