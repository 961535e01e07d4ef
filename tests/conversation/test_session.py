from support import virtual_time
from support.scripted import Script, ScriptedChat, ScriptedRecognizer, silence, speech
from support.stage import on_stage
from vivavoce.conversation.events import *
from vivavoce.conversation.options import *


def test_voice_turn():
    async def main():
        async with on_stage() as st:
            await st.say(1000, 800)
            done = await st.until(ResponseDone)
            for t, e in st.log:
                print(t, str(e)[:150] if not isinstance(e, AudioDelta) else f"AUDIO {len(e.pcm)}")
            print(st.receipts)
            await st.stream(silence(3000))
            await st.say(500, 800)
            await st.until(ResponseDone, 2)
            print(st.prompt())
            await st.say(500, 800)
            await st.until(ResponseDone, 3)
            for t, e in st.log[-60:]:
                print(t, str(e)[:150] if not isinstance(e, AudioDelta) else f"AUDIO {len(e.pcm)}")
            print(st.prompt())

    virtual_time.run(main())
