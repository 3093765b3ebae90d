package codespec

import (
	"bufio"
	"encoding/json"
	"os"
	"reflect"
	"testing"
)

// vector is one line of testdata/*.jsonl: real codes and public test data.
type vector struct {
	Payload        string         `json:"payload"`
	Code           string         `json:"code"`
	Valid          bool           `json:"valid"`
	Why            string         `json:"why"`
	Source         string         `json:"source"`
	StrictFindings []string       `json:"strict_findings"`
	Expect         map[string]any `json:"expect"`
	ProfileInvalid string         `json:"profile_invalid"`
	Partial        map[string]any `json:"partial"`
}

func readVectors(t testing.TB, name string) []vector {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []vector
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var v vector
		if err := json.Unmarshal(in.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	if in.Err() != nil || len(all) == 0 {
		t.Fatalf("%s: %d vectors, %v", name, len(all), in.Err())
	}
	return all
}

// viaJSON is what a reader of the report sees.
func viaJSON(t testing.TB, v any) map[string]any {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func kinds(f []Finding) map[string]bool {
	m := map[string]bool{}
	for _, x := range f {
		m[x.Kind] = true
	}
	return m
}

func TestMPMVectors(t *testing.T) {
	for i, v := range readVectors(t, "mpm.jsonl") {
		r := Report(v.Payload, true)
		if r.Valid != v.Valid {
			t.Errorf("line %d: valid %v, want %v (%s): %+v", i+1, r.Valid, v.Valid, v.Why, r.Error)
			continue
		}
		if v.Expect == nil {
			if want, ok := v.Partial["schemes"]; ok && !sameList(r.Schemes, want) {
				t.Errorf("line %d: what could be read names %v, want %v", i+1, r.Schemes, want)
			}
			continue
		}
		want := v.Expect["schemes"]
		delete(v.Expect, "schemes")
		if !sameList(r.Schemes, want) {
			t.Errorf("line %d: schemes %v, want %v", i+1, r.Schemes, want)
		}
		if got := viaJSON(t, r.MPM); !reflect.DeepEqual(got, v.Expect) {
			t.Errorf("line %d:\n got %v\nwant %v", i+1, got, v.Expect)
		}
		got := kinds(r.Findings)
		for _, k := range v.StrictFindings {
			if !got[k] {
				t.Errorf("line %d: finding %s not made", i+1, k)
			}
		}
	}
}

func sameList(got []string, want any) bool {
	list, _ := want.([]any)
	if len(got) != len(list) {
		return false
	}
	for i := range got {
		if got[i] != list[i] {
			return false
		}
	}
	return true
}

func TestCPMVectors(t *testing.T) {
	for i, v := range readVectors(t, "cpm.jsonl") {
		r := Report(v.Payload, true)
		if r.Valid != v.Valid {
			t.Errorf("line %d: valid %v, want %v (%s): %+v", i+1, r.Valid, v.Valid, v.Why, r.Error)
			continue
		}
		if v.Expect == nil && r.CPM == nil {
			continue
		}
		if got := viaJSON(t, r.CPM); !reflect.DeepEqual(got, v.Expect) {
			t.Errorf("line %d:\n got %v\nwant %v", i+1, got, v.Expect)
		}
		got := kinds(r.Findings)
		for _, k := range v.StrictFindings {
			if !got[k] {
				t.Errorf("line %d: finding %s not made", i+1, k)
			}
		}
	}
}

func TestWalletVectors(t *testing.T) {
	for i, v := range readVectors(t, "wallet_codes.jsonl") {
		r := Report(v.Code, true)
		if r.Valid != v.Valid {
			t.Errorf("line %d: valid %v, want %v (%s): %+v", i+1, r.Valid, v.Valid, v.Why, r.Error)
			continue
		}
		if !v.Valid {
			if r.Error == nil || r.Error.Reason == "" {
				t.Errorf("line %d: refused without a reason", i+1)
			}
			continue
		}
		if len(r.Schemes) == 0 || r.Schemes[0] != v.Expect["scheme"] {
			t.Errorf("line %d: schemes %v, want %v first", i+1, r.Schemes, v.Expect["scheme"])
		}
		c, _ := Decode(v.Code)
		for key, want := range v.Expect {
			var got any
			switch key {
			case "kind":
				got = c.Link.Kind
			case "institution":
				got = c.Link.Institution
			case "signed":
				got = c.Link.UPI.HasSignature()
			default:
				continue
			}
			if got != want {
				t.Errorf("line %d: %s %v, want %v", i+1, key, got, want)
			}
		}
	}
}
