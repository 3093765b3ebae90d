package switching

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schema"
)

// TestEventsFitTheirSchema: each type that schema/event.json describes is made here as
// the outbox makes it, and fits. That there are no others, schema's own test says.
func TestEventsFitTheirSchema(t *testing.T) {
	b := newBench(t)
	id := b.do(payRequest("k1", 1, 1250)).Payment
	for _, e := range []clearing.Entry{{Kind: clearing.KindClose}} {
		if _, err := b.engine.Ledger().Submit(context.Background(), e); err != nil {
			t.Fatal(err)
		}
	}
	settles := func(e clearing.Entry) notice {
		e.Window, e.Debtor, e.Creditor, e.Asker, e.Amount, e.SchemeRef = 1, "wallet", "acq", "north", tongma.Money{Minor: 5, Currency: tongma.CNY}, "i-1"
		n, concerns := noticeOf(&e)
		if !concerns {
			t.Fatalf("%s concerns nobody", e.Kind)
		}
		return n
	}
	notices := map[string]notice{
		EventShort:         settles(clearing.Entry{Kind: clearing.KindShort, Reason: tongma.AgentRejected}),
		EventCoverAsked:    settles(clearing.Entry{Kind: clearing.KindCoverAsked}),
		EventCovered:       settles(clearing.Entry{Kind: clearing.KindCover}),
		EventCoverRefused:  settles(clearing.Entry{Kind: clearing.KindCoverRefused}),
		EventDeferred:      settles(clearing.Entry{Kind: clearing.KindDefer, Payment: id, AuthWindow: 2, Dealer: "other", Target: tongma.Money{Minor: 5, Currency: tongma.HKD}}),
		EventRecast:        settles(clearing.Entry{Kind: clearing.KindRecast}),
		EventPaymentEnded:  {payment: id, kind: EventPaymentEnded},
		EventExchanged:     {payment: id, dealer: "other"},
		EventWindowClosed:  {window: 1},
		EventWindowSettled: {window: 1},
		EventLimit:         {warning: &Warning{Entry: 2, Participant: "wallet", Currency: tongma.CNY, Percent: 75}},
	}
	shapes, names := eventShapes(t)
	for _, name := range names {
		n, known := notices[name]
		if !known {
			t.Errorf("%s is described, and this test makes none", name)
			continue
		}
		told, err := (&EventOutbox{engine: b.engine}).dataFor(context.Background(), &n)
		if err != nil || len(told) == 0 {
			t.Fatalf("%s: told %v, %v", name, told, err)
		}
		for who, body := range told {
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
			if err == nil {
				err = shapes(name).Validate(v)
			}
			if err != nil {
				t.Errorf("%s to %s: %v\n%s", name, who, err, body)
			}
		}
	}
	if shapes(EventLimit).Validate(map[string]any{"currency": "CNY", "percent": 60}) == nil {
		t.Error("a limit that nobody warns of fits")
	}
}

func eventShapes(t testing.TB) (shape func(name string) *jsonschema.Schema, names []string) {
	t.Helper()
	c := jsonschema.NewCompiler()
	for _, doc := range []string{"request", "answer", "event"} {
		data, err := schema.Files.ReadFile(doc + ".json")
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err == nil {
			err = c.AddResource("urn:tongma:schema:v1:"+doc, v)
		}
		if err != nil {
			t.Fatal(err)
		}
		var parts struct {
			Defs map[string]json.RawMessage `json:"$defs"`
		}
		if doc != "event" {
			continue
		}
		if err := json.Unmarshal(data, &parts); err != nil {
			t.Fatal(err)
		}
		for name := range parts.Defs {
			if bytes.ContainsRune([]byte(name), '.') { // the others are parts
				names = append(names, name)
			}
		}
	}
	return func(name string) *jsonschema.Schema {
		s, err := c.Compile("urn:tongma:schema:v1:event#/$defs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}, names
}
