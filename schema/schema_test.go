package schema

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/tongma/tongma"
)

func compile(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	for _, doc := range []string{"request", "answer", "problem", "resolution", "event"} {
		data, err := Files.ReadFile(doc + ".json")
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource("urn:tongma:schema:v1:"+doc, v); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Compile("urn:tongma:schema:v1:" + name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fits(t *testing.T, s *jsonschema.Schema, wire []byte) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(wire))
	if err != nil {
		t.Fatalf("%v: %s", err, wire)
	}
	return s.Validate(v)
}

var (
	id      = tongma.PaymentID{1, 0x9a, 3, 4, 5, 6, 0x77, 8, 0x99, 10, 11, 12, 13, 14, 15, 16}
	crossed = tongma.Exchange{Dealer: "bourse", Quote: "q-1", Rate: "HKD/CNY 0.9193 target", Source: tongma.Money{Minor: 1360, Currency: tongma.HKD},
		Target: tongma.Money{Minor: 1250, Currency: tongma.CNY}, Expiry: 1_790_000_000_000}
	full = tongma.Request{Key: "k-1", Payment: id, Original: id, OfKey: "k-0", Scheme: "wechat", Acquirer: "acq-north", Issuer: "wechatpay", Code: "130100000000000001",
		Amount: tongma.Money{Minor: 1250, Currency: tongma.CNY}, Merchant: tongma.Merchant{ID: "M", Name: "面馆", City: "C", Country: "CN", MCC: "5812", Terminal: "T"},
		Order: "O", PayIn: tongma.HKD, Quote: "q-1", Exchange: crossed, Reason: tongma.SchemeSilent, Budget: time.Second, Attempt: 2}
)

// TestWhatIsSentFitsItsSchema holds the documents to the code.
func TestWhatIsSentFitsItsSchema(t *testing.T) {
	answer := tongma.Answer{Payment: id, Original: id, Outcome: tongma.Declined, Status: tongma.Refused, Reason: tongma.OverCap, Scheme: "wechat", Issuer: "w", Acquirer: "a",
		Amount: full.Amount, Exchange: crossed, SchemeRef: "R", Approval: "123456", At: 1_790_000_000_000, Window: 3, Entry: 9, After: time.Second, Detail: "d"}
	resolution := tongma.Resolution{Directory: 1, Candidates: []tongma.Candidate{{Scheme: "north", Participant: "acq-north", Rule: "r", Path: "26"}}, Merchant: full.Merchant, Amount: full.Amount, Exchange: crossed}
	problem := tongma.ProblemOf(&tongma.Error{Op: "x", Reason: tongma.FieldInvalid, Field: "/key", Offset: 3, Detail: "too long"})
	problem.Payment = id
	for _, c := range []struct {
		schema string
		wire   []byte
	}{
		{"request", full.AppendJSON(nil)}, {"request", []byte(`{}`)}, {"answer", answer.AppendJSON(nil)}, {"answer", (&tongma.Answer{}).AppendJSON(nil)},
		{"resolution", resolution.AppendJSON(nil)}, {"problem", problem.AppendJSON(nil)},
	} {
		if err := fits(t, compile(t, c.schema), c.wire); err != nil {
			t.Errorf("%s does not fit: %v\n%s", c.schema, err, c.wire)
		}
	}
}

// TestWhatIsRefusedDoesNotFit holds the code to the documents.
func TestWhatIsRefusedDoesNotFit(t *testing.T) {
	request, answer := compile(t, "request"), compile(t, "answer")
	for _, wire := range []string{`{"ammount":{}}`, `{"amount":{"minor":1}}`, `{"amount":{"minor":1.5,"currency":"CNY"}}`, `{"key":"a b"}`, `{"payment":"pay_1"}`, `{"budget_ms":-1}`,
		`{"pay_in":"hkd"}`, `{"quote":"a b"}`, `{"exchange":{"source":{"minor":1}}}`} {
		if _, err := tongma.ParseRequest([]byte(wire)); err == nil || fits(t, request, []byte(wire)) == nil {
			t.Errorf("%s: the reader says %v, the schema %v", wire, err, fits(t, request, []byte(wire)))
		}
	}
	for _, wire := range []string{`{}`, `{"outcome":"yes"}`, `{"outcome":"approved","amount":{"minor":1}}`} {
		if _, err := tongma.ParseAnswer([]byte(wire)); err == nil || fits(t, answer, []byte(wire)) == nil {
			t.Errorf("%s: the reader says %v, the schema %v", wire, err, fits(t, answer, []byte(wire)))
		}
	}
}

func TestAsyncAPINamesTheSubjectsOfTheCode(t *testing.T) {
	data, err := Files.ReadFile("asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		AsyncAPI string
		Channels map[string]struct {
			Address    string
			Parameters map[string]struct{ Enum []string }
		}
	}
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"ask":     tongma.Subject("{participant}", tongma.OpNone) + "{operation}",
		"resolve": tongma.Subject("{participant}", tongma.OpResolve),
		"adapter": tongma.AdapterSubject("{scheme}", tongma.OpNone) + "{operation}",
		"dealer":  tongma.DealerSubject("{dealer}"),
		"events":  tongma.EventSubject("{participant}", "{type}"),
	} {
		if got := doc.Channels[name].Address; got != want {
			t.Errorf("channel %s is at %s, the code says %s", name, got, want)
		}
		for _, op := range doc.Channels[name].Parameters["operation"].Enum {
			if _, ok := tongma.ParseOperation(op); !ok {
				t.Errorf("channel %s: no operation %s", name, op)
			}
		}
	}
	if !strings.HasPrefix(doc.AsyncAPI, "3.") {
		t.Errorf("AsyncAPI %s", doc.AsyncAPI)
	}
}

// eventsOfTheCode reads the types of events off the switch's source: constants whose
// names begin with Event. Nobody has to remember to list a new one here.
func eventsOfTheCode(t *testing.T) (types []string) {
	t.Helper()
	files, err := filepath.Glob("../switch/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Names) != len(spec.Values) {
				return true
			}
			for i, name := range spec.Names {
				if lit, ok := spec.Values[i].(*ast.BasicLit); ok && lit.Kind == token.STRING && strings.HasPrefix(name.Name, "Event") {
					value, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Fatal(err)
					}
					types = append(types, value)
				}
			}
			return true
		})
	}
	slices.Sort(types)
	return types
}

// TestEveryEventTypeIsDescribed: what the switch can tell participants unasked is in
// event.json and in the AsyncAPI document, and nothing else is.
func TestEveryEventTypeIsDescribed(t *testing.T) {
	types := eventsOfTheCode(t)
	if len(types) < 4 {
		t.Fatalf("found %v in the switch's source only", types)
	}
	data, err := Files.ReadFile("event.json")
	if err != nil {
		t.Fatal(err)
	}
	var events struct {
		Defs map[string]json.RawMessage `json:"$defs"`
	}
	if err := json.Unmarshal(data, &events); err != nil {
		t.Fatal(err)
	}
	var described []string
	for name := range events.Defs {
		if strings.Contains(name, ".") { // the others are parts
			described = append(described, name)
			compile(t, "event#/$defs/"+name)
		}
	}
	data, err = Files.ReadFile("asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Channels map[string]struct {
			Parameters map[string]struct{ Enum []string }
			Messages   map[string]any
		}
		Components struct {
			Messages map[string]struct {
				Payload struct{ Schema map[string]string }
			}
		}
	}
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	var messages []string
	for name := range doc.Channels["events"].Messages {
		messages = append(messages, name)
		if ref := doc.Components.Messages[name].Payload.Schema["$ref"]; ref != "event.json#/$defs/"+name {
			t.Errorf("asyncapi.yaml: %s has the shape %q", name, ref)
		}
	}
	for what, have := range map[string][]string{"event.json": described, "asyncapi.yaml, types": doc.Channels["events"].Parameters["type"].Enum, "asyncapi.yaml, messages": messages} {
		slices.Sort(have)
		if !slices.Equal(have, types) {
			t.Errorf("%s has %v, the switch can tell %v", what, have, types)
		}
	}
}
