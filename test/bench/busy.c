/* A program that keeps a processor busy: it never waits. */
int main(void)
{
	for (volatile unsigned long turns = 0;; turns++)
		;
}
