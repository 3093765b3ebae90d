package iso20022

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if _, err := exec.LookPath("xmllint"); err != nil {
		fmt.Fprintln(os.Stderr, "iso20022: xmllint is not installed (Debian: libxml2-utils): messages are built and read back, but NOT validated against the schemas")
	}
	os.Exit(m.Run())
}

// lint validates messages of one definition against its published schema.
func lint(t *testing.T, def Definition, messages ...[]byte) {
	t.Helper()
	tool, err := exec.LookPath("xmllint")
	if err != nil || len(messages) == 0 {
		return
	}
	dir := t.TempDir()
	for from := 0; from < len(messages); from += 500 {
		args := []string{"--nonet", "--noout", "--schema", filepath.Join("testdata", "xsd", string(def)+".xsd")}
		for i, m := range messages[from:min(from+500, len(messages))] {
			file := filepath.Join(dir, strconv.Itoa(from+i)+".xml")
			if err := os.WriteFile(file, m, 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(args, file)
		}
		if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
			lines := slices.DeleteFunc(strings.Split(string(out), "\n"), func(l string) bool { return strings.HasSuffix(l, " validates") })
			t.Fatalf("%s: %v\n%s", def, err, strings.Join(lines[:min(len(lines), 10)], "\n"))
		}
	}
}

func TestTheSchemasRefuseWhatTheyShould(t *testing.T) {
	if _, err := exec.LookPath("xmllint"); err != nil {
		t.Skip("xmllint is not installed")
	}
	d := mustCreditTransfers(t)
	bad := filepath.Join(t.TempDir(), "bad.xml")
	if err := os.WriteFile(bad, bytes.Replace(d.XML, []byte("IntrBkSttlmDt"), []byte("IntrBkSttlmDay"), 2), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("xmllint", "--noout", "--schema", "testdata/xsd/"+string(d.Definition)+".xsd", bad).CombinedOutput(); err == nil {
		t.Fatalf("a message with a misspelt element validates: %s", out)
	}
}

// TestTheElementsAreThoseOfTheSchemas holds the table of known elements against
// the published schemas.
func TestTheElementsAreThoseOfTheSchemas(t *testing.T) {
	type element struct {
		Name string `xml:"name,attr"`
	}
	type xsd struct {
		Types []struct {
			Name     string    `xml:"name,attr"`
			Sequence []element `xml:"sequence>element"`
			Choice   []element `xml:"choice>element"`
		} `xml:"complexType"`
	}
	found := map[string]bool{}
	for _, def := range []Definition{Camt053, Camt054, Pacs002, Head001, Pacs009, Pacs010, Pacs029, Camt050} {
		data, err := os.ReadFile("testdata/xsd/" + string(def) + ".xsd")
		if err != nil {
			t.Fatal(err)
		}
		var s xsd
		if err := xml.Unmarshal(data, &s); err != nil {
			t.Fatal(err)
		}
		for _, typ := range s.Types {
			want, used := schema[typ.Name]
			if !used {
				continue
			}
			found[typ.Name] = true
			got := " "
			for _, e := range append(typ.Sequence, typ.Choice...) {
				got += e.Name + " "
			}
			if got != want {
				t.Errorf("%s in %s:\nschema %s\ntable  %s", typ.Name, def, got, want)
			}
		}
	}
	for name := range schema {
		receipt := name == "Receipt" || name == "ReceiptHeader" || name == "ReceiptDetails" || name == "OriginalMessage" || name == "RequestHandling" || name == "RequestStatus"
		if !found[name] && !receipt {
			t.Errorf("%s is in no schema", name)
		}
	}
}
