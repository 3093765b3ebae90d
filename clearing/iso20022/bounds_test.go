package iso20022

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestBombsAndGarbageAreRefusedFast feeds what is meant to exhaust a reader. The
// figures are far above what was measured, so that a slow machine passes.
func TestBombsAndGarbageAreRefusedFast(t *testing.T) {
	noise := make([]byte, 10<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(noise)
	full := MaxBytes - 200
	fill := func(head, unit, tail string) []byte {
		return []byte(head + strings.Repeat(unit, (full-len(head)-len(tail))/len(unit)) + tail)
	}
	lol := `<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">` + strings.Repeat(`<!ENTITY lol1 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">`, 20) + `]><Document>&lol1;</Document>`
	root := `<Document xmlns="` + Camt053.Namespace() + `">`
	for name, c := range map[string]struct {
		data  []byte
		fault Fault
	}{
		"nothing":                       {nil, FaultMalformed},
		"blanks":                        {fill("", " ", ""), FaultTooLarge},
		"10 MiB of noise":               {noise, FaultTooLarge},
		"8 MiB of noise":                {noise[:MaxBytes], FaultMalformed},
		"8 MiB of text":                 {fill("", "a", ""), FaultMalformed},
		"8 MiB of <":                    {fill("", "<", ""), FaultMalformed},
		"10 MiB of a statement":         {fill(root+strings.Repeat("<a>\n</a>", 300_000), "<a>\n</a>", "</Document>"), FaultTooMany},
		"a billion laughs":              {[]byte(lol), FaultDoctype},
		"an external entity":            {[]byte(`<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><Document>&x;</Document>`), FaultDoctype},
		"a long document type":          {fill("<!DOCTYPE d [", "<!ENTITY a 'b'>", "]><Document/>"), FaultTooLarge},
		"elements nested without end":   {fill("", "<a>", ""), FaultTooDeep},
		"elements without end":          {fill(root, "<a/>", "</Document>"), FaultTooMany},
		"attributes without end":        {fill("<Document ", `a="" `, "/>"), FaultTooLarge},
		"attributes with > in them":     {fill("<Document ", `a=">" `, "/>"), FaultTooLarge},
		"seventeen attributes":          {[]byte(`<Document ` + strings.Repeat(`a="" `, 17) + "/>"), FaultTooMany},
		"namespaces without end":        {fill("<Document ", `xmlns:a="b" `, "/>"), FaultTooLarge},
		"a name without end":            {fill("<", "a", "/>"), FaultTooLarge},
		"a comment without end":         {fill("<Document><!--", "a", "--></Document>"), FaultTooLarge},
		"comments without end":          {fill(root, "<!---->", "</Document>"), FaultMissing},
		"comments in a text":            {fill(root+"<BkToCstmrStmt><GrpHdr><MsgId>", "a<!---->", "</MsgId></GrpHdr></BkToCstmrStmt></Document>"), FaultText},
		"character data without end":    {fill("<Document><![CDATA[", "a", "]]></Document>"), FaultTooLarge},
		"character references":          {fill(root+"<BkToCstmrStmt><GrpHdr><MsgId>", "&#65;", "</MsgId></GrpHdr></BkToCstmrStmt></Document>"), FaultTooLarge},
		"statements without end":        {fill(root+"<BkToCstmrStmt><GrpHdr><MsgId>1</MsgId><CreDtTm>2026-11-23T18:00:00Z</CreDtTm></GrpHdr>", "<Stmt><Id>1</Id></Stmt>", "</BkToCstmrStmt></Document>"), FaultTooMany},
		"an envelope of many documents": {fill("<E>", "<Document/>", "</E>"), FaultTooMany},
		"two bytes of UTF-16":           {[]byte("\xff\xfe<\x00"), FaultMalformed},
		"a zero byte":                   {[]byte("<Document>\x00</Document>"), FaultMalformed},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		m, err := Read(c.data)
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		if m != nil || ReadFault(err) != c.fault {
			t.Errorf("%s: %v, want %q", name, err, c.fault)
		}
		if took > 20*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 400 {
			t.Errorf("%s: %d MiB were allocated", name, grown)
		}
		t.Logf("%-30s %8.1f ms %5d MiB", name, float64(took.Microseconds())/1000, (after.TotalAlloc-before.TotalAlloc)>>20)
	}
}

// ReadFault is the rule that an error is caused by.
func ReadFault(err error) Fault {
	for err != nil {
		if f, ok := err.(Fault); ok {
			return f
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return ""
		}
		err = u.Unwrap()
	}
	return ""
}

func TestAStatementOfManyEntriesReads(t *testing.T) {
	from := strings.Index(sample, "  <Ntry><NtryRef>E1")
	entry := `<Ntry><Amt Ccy="CNY">1.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BkTxCd/></Ntry><Ntry><Amt Ccy="CNY">1.00</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BkTxCd/></Ntry>`
	big := []byte(sample[:from] + strings.Repeat(entry, 20_000) + sample[from:])
	start := time.Now()
	m := mustRead(t, big)
	if len(m.Statements[0].Entries) != 40_003 {
		t.Error(len(m.Statements[0].Entries))
	}
	t.Logf("%d entries, %d bytes: %v", len(m.Statements[0].Entries), len(big), time.Since(start))
	if _, err := Read(bytes.Replace(big, []byte("12.75"), []byte("12.74"), 1)); ReadFault(err) != FaultBalance {
		t.Error(err)
	}
}
