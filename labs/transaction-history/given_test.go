package transactionhistory

import (
	"bytes"
	"os"
	"testing"
)

// TestGivenFilesAreTheSame: main.go and bank.go are given, so the starter and the solution must not drift apart.
func TestGivenFilesAreTheSame(t *testing.T) {
	for _, name := range []string{"main.go", "bank.go"} {
		starter, err := os.ReadFile("starter/" + name)
		if err != nil {
			t.Fatal(err)
		}
		solution, err := os.ReadFile("../../solutions/transaction-history/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(starter, solution) {
			t.Errorf("%s differs between the starter and the solution", name)
		}
	}
}
